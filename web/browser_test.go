package web

import (
	"bytes"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// probe, put at the end of a page, unfolds everything, moves the pointer over
// the first drawing, and writes what the browser sees into the title
// of the page around it.
const probe = `<script>
const errors = [];
addEventListener("error", e => errors.push(e.message));
addEventListener("load", () => {
  for (const d of document.querySelectorAll("details")) d.open = true;
  const drawings = document.querySelectorAll("svg");
  const box = drawings[0].getBoundingClientRect();
  drawings[0].dispatchEvent(new PointerEvent("pointermove", {bubbles: true, clientX: box.x + box.width / 2, clientY: box.y + box.height / 2}));
  let small = 0;
  for (const text of document.querySelectorAll("svg text")) if (parseFloat(getComputedStyle(text).fontSize) < 12) small++;
  let broken = 0;
  for (const image of document.querySelectorAll("img")) if (!image.naturalWidth) broken++;
  const seen = {overflow: Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth), width: innerWidth, errors: errors.length, small, broken, drawings: drawings.length, images: document.querySelectorAll("img, svg image").length};
  parent.document.title = Object.entries(seen).map(e => e.join("=")).join(" ");
});
</script></body>`

// TestBrowser opens the report in Chromium at the width of a desk and of a
// phone: nothing may stick out sideways, be too small to read, or fail.
func TestBrowser(t *testing.T) {
	r := simulation{train: 40, validation: 20, epochs: 30, classes: []string{"no response", "response"}, batchNorm: true}.run()
	var page bytes.Buffer
	if err := Report(&page, r, sampleDiagnosis()); err != nil {
		t.Fatal(err)
	}
	lookAt(t, page.String())
}

// lookAt opens a page at four widths.
func lookAt(t *testing.T, page string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("Chromium is absent: the page is not looked at")
	}
	watched := html.EscapeString(strings.Replace(page, "</body>", probe, 1))
	for _, width := range []string{"1200", "768", "390", "320"} {
		name := filepath.Join(t.TempDir(), "around.html")
		around := fmt.Sprintf(`<!doctype html><title>no answer</title><iframe style="width:%spx;height:900px;border:0" srcdoc="%s"></iframe>`, width, watched)
		if err := os.WriteFile(name, []byte(around), 0o600); err != nil {
			t.Fatal(err)
		}
		command := exec.Command(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
			"--user-data-dir="+t.TempDir(), "--window-size=1300,950", "file://"+name)
		command.WaitDelay = time.Second
		timer := time.AfterFunc(time.Minute, func() { _ = command.Process.Kill() })
		dom, err := command.Output()
		timer.Stop()
		if err != nil {
			t.Fatalf("chromium at %s px: %v", width, err)
		}
		title := regexp.MustCompile(`<title>([^<]*)</title>`).FindSubmatch(dom)
		if title == nil {
			t.Fatalf("chromium at %s px gave no title", width)
		}
		seen := string(title[1])
		for _, want := range []string{"width=" + width + " ", "overflow=0 ", "errors=0 ", "small=0 ", "broken=0 "} {
			if !strings.Contains(seen+" ", want) {
				t.Errorf("at %s px: %s; want %s", width, seen, want)
			}
		}
		if strings.Contains(seen, "drawings=0") || strings.Contains(page, "<im") && strings.Contains(seen+" ", "images=0 ") {
			t.Errorf("at %s px nothing is drawn: %s", width, seen)
		}
	}
}
