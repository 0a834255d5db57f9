#!/bin/sh
# Makes the picture of a report that a README shows: the answer, the accuracy
# curves, the budget and the flip map, in light colours. Needs Chromium.
#
#   sh web/picture.sh ballast-demo/report.html docs/report.png
#
# CHROMIUM names the browser where it is not called chromium.
set -eu
if [ $# -ne 2 ]; then
	echo "usage: sh picture.sh REPORT.html PICTURE.png" >&2
	exit 2
fi
picture=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
page=$folder/page.html

# Leave out the loss, small print, the folded parts and the sections after the
# flip map, and put the height of what remains into the title.
hidden='figure:has(#loss-title), figcaption, .budget small, .small, .measures div:nth-child(n+6), details, section:nth-of-type(n+4), output'
sed -e "s|</style>|$hidden { display: none } main { padding-bottom: 0 } h2 { margin-top: 1.25rem }</style>|" \
	-e 's|</body>|<script>document.title = Math.ceil(document.querySelector("main").getBoundingClientRect().bottom)</script></body>|' \
	"$1" >"$page"

browse() {
	"${CHROMIUM:-chromium}" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=1 \
		--user-data-dir="$folder/profile" "$@" "file://$page" 2>/dev/null
}
height=$(browse --window-size=1060,800 --dump-dom | sed -n 's|.*<title>\([0-9]*\)</title>.*|\1|p')
browse --window-size="1060,$height" --screenshot="$picture" >/dev/null
echo "$picture: 1060 x $height pixels, $(wc -c <"$picture") bytes"
