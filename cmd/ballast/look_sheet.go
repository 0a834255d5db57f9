package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"ballast/prep"
)

// A contactSheet is a picture of what the network sees, and the facts about it.
type contactSheet struct {
	File      string     `json:"sheet"`
	Cohort    string     `json:"cohort"`
	Run       string     `json:"run,omitempty"`
	Seed      uint64     `json:"seed"`
	Grid      [3]int     `json:"grid"`       // D, H, W
	Spacing   [3]float64 `json:"spacing_mm"` // along D, H, W
	Channels  int        `json:"channels"`
	Sequences []string   `json:"sequences,omitempty"` // names of the channels
	Crop      string     `json:"crop"`
	Normalise string     `json:"normalise"`
	NotShown  int        `json:"groups_not_shown"` // groups of a class and a site
	Images    []*lookRow `json:"images"`

	anatomical bool // the axes are those of the body
}

// Sizes in pixels.
const (
	longest3D = 132 // longest side of the three planes of a volume
	longest2D = 180 // longest side of a slice
	mostLabel = 210 // width of the labels
	between   = 4   // planes of an image
	gap       = 18  // images
	line      = 14  // of text
	margin    = 12
	letter    = 7 // width of a character
)

var (
	pageColour    = color.RGBA{0x14, 0x16, 0x1a, 0xff}
	brightColour  = color.RGBA{0xf2, 0xf2, 0xf2, 0xff}
	textColour    = color.RGBA{0xb8, 0xbe, 0xc8, 0xff}
	outlineColour = color.RGBA{0xff, 0xb0, 0x20, 0xff}
	markColour    = color.RGBA{0x6f, 0xd0, 0xff, 0xff}
	stripeColour  = color.RGBA{0x2a, 0x2e, 0x36, 0xff}
)

// write draws the sheet and writes it as PNG.
func (s *contactSheet) write() error {
	var file bytes.Buffer
	err := png.Encode(&file, s.picture())
	if err == nil {
		err = writeWhole(s.File, file.Bytes(), []byte("\x89PNG"))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", s.File, withoutPath(err))
	}
	return nil
}

// A layout is where everything lies on the sheet.
type layout struct {
	cells   [][]cell   // by row and column
	labels  [][]string // by row, in lines
	heads   [][]string // by column, in lines
	label   int        // width of the labels
	widths  []int      // of the columns
	heights []int      // of the rows
}

func (s *contactSheet) layout() *layout {
	l := &layout{heads: s.heads(), label: gap}
	for _, row := range s.Images {
		for channel := range row.prepared.C {
			l.add(s.label(row, channel), s.cells(row, channel), s.across())
		}
	}
	for _, head := range l.heads {
		l.widths = append(l.widths, letter*longestLine(head))
	}
	for n, cells := range l.cells {
		l.label = max(l.label, min(letter*longestLine(l.labels[n]), mostLabel)+gap)
		for column, c := range cells {
			width, _ := c.size()
			l.widths[column] = max(l.widths[column], width)
		}
	}
	for n, cells := range l.cells {
		highest := line * len(l.labels[n])
		for column, c := range cells {
			_, height := c.size()
			highest = max(highest, height+line*len(c.captionLines(l.widths[column]))+4)
		}
		l.heights = append(l.heights, highest)
	}
	return l
}

// add adds a row, in several lines when it has more epochs than stand side by
// side.
func (l *layout) add(label []string, cells []cell, across int) {
	first := min(2+across, len(cells))
	l.labels, l.cells = append(l.labels, label), append(l.cells, cells[:first])
	for from := first; from < len(cells); from += across {
		more := append(make([]cell, 2), cells[from:min(from+across, len(cells))]...)
		l.labels, l.cells = append(l.labels, nil), append(l.cells, more)
	}
}

// headHeight is the height of all that stands above the rows: the title, a
// space, the heads of the columns and a space.
const headHeight = 2*line + line + 2*line + 16

// picture draws the sheet.
func (s *contactSheet) picture() *image.RGBA {
	l := s.layout()
	size := image.Pt(2*margin+l.label, 2*margin+headHeight)
	for _, width := range l.widths {
		size.X += width + gap
	}
	for _, height := range l.heights {
		size.Y += height + gap
	}
	size.X = max(size.X, 2*margin+letter*longestLine(s.title()))
	canvas := image.NewRGBA(image.Rectangle{Max: size})
	fill(canvas, canvas.Bounds(), pageColour)
	writeLines(canvas, image.Pt(margin, margin), s.title())
	at := image.Pt(margin+l.label, margin+3*line)
	for column, head := range l.heads {
		writeLines(canvas, at, head)
		at.X += l.widths[column] + gap
	}
	at.Y = margin + headHeight
	for n, cells := range l.cells {
		if l.labels[n] != nil {
			fill(canvas, image.Rect(margin, at.Y-gap/2, size.X-margin, at.Y-gap/2+1), stripeColour)
		}
		writeLines(canvas, image.Pt(margin, at.Y), l.labels[n])
		at.X = margin + l.label
		for column, c := range cells {
			c.draw(canvas, at, l.widths[column])
			at.X += l.widths[column] + gap
		}
		at.Y += l.heights[n] + gap
	}
	return canvas
}

// writeLines writes lines one under the other, the first one bright.
func writeLines(canvas *image.RGBA, at image.Point, lines []string) {
	colour := brightColour
	for _, text := range lines {
		write(canvas, at, colour, text)
		at.Y += line
		colour = textColour
	}
}

// title says what the sheet is of.
func (s *contactSheet) title() []string {
	of := "cohort " + cohortName(s.Cohort)
	if s.Run != "" {
		of = "run " + cohortName(s.Run) + " on " + of
	}
	grid := s.Grid[:]
	spacing := s.Spacing[:]
	if s.Grid[0] == 1 {
		grid, spacing = grid[1:], spacing[1:]
	}
	legend := "outline: the field that the network sees; planes through its middle"
	if s.flat() {
		legend = "outline: the field that the network sees"
	} else if s.anatomical {
		legend += ": axial, coronal, sagittal; R: patient's right, A: anterior"
	}
	legend += "; sizes along " + map[bool]string{true: "H x W", false: "D x H x W"}[s.flat()]
	return []string{
		fmt.Sprintf("What the network sees of %s: grid %s voxels of %s mm, crop %s, normalise %s, seed %d", of, joined(grid), joined(spacing), s.Crop, s.Normalise, s.Seed),
		legend,
	}
}

func (s *contactSheet) flat() bool { return s.Grid[0] == 1 }

// joined writes numbers as 32 x 48 x 48.
func joined[T int | float64](numbers []T) string {
	var words []string
	for _, n := range numbers {
		words = append(words, fmt.Sprint(n))
	}
	return strings.Join(words, " x ")
}

// across is how many epochs stand side by side; more are continued below.
func (s *contactSheet) across() int {
	if s.flat() {
		return 8
	}
	return 4
}

// columns is the number of epochs of the row that has most.
func (s *contactSheet) columns() int {
	columns := 0
	for _, row := range s.Images {
		columns = max(columns, len(row.Epochs))
	}
	return columns
}

// heads are the two lines above each column.
func (s *contactSheet) heads() [][]string {
	heads := [][]string{{"whole image", "before preprocessing"}, {"prepared", "what validation sees"}}
	for column := range min(s.columns(), s.across()) {
		head := "epoch in the caption"
		if number, same := s.epochOf(column); same && s.columns() <= s.across() {
			head = fmt.Sprintf("epoch %d", number)
		}
		heads = append(heads, []string{head, "what training sees"})
	}
	return heads
}

// epochOf is the epoch of a column, and whether it is that in every row.
func (s *contactSheet) epochOf(column int) (number int, same bool) {
	same = true
	for _, row := range s.Images {
		if column < len(row.Epochs) {
			same = same && (number == 0 || number == row.Epochs[column].Epoch)
			number = row.Epochs[column].Epoch
		}
	}
	return number, same
}

// told is the caption of an epoch in a column.
func (s *contactSheet) told(epoch *lookEpoch, column int) string {
	if _, same := s.epochOf(column); same && s.columns() <= s.across() {
		return changes(epoch.Draw, s.flat())
	}
	return fmt.Sprintf("epoch %d, %s", epoch.Epoch, changes(epoch.Draw, s.flat()))
}

// label is the text beside a row.
func (s *contactSheet) label(row *lookRow, channel int) []string {
	file := row.File
	if channel > 0 && channel <= len(row.image.Also) {
		file = row.image.Also[channel-1]
	}
	text := []string{row.Subject, "class " + row.Class}
	if row.Site != "" {
		text = append(text, "site "+row.Site)
	}
	text = append(text, row.Set, cohortName(file))
	if row.Image > 0 {
		text = append(text, fmt.Sprintf("image %d", row.Image+1))
	}
	if s.Channels > 1 && channel < len(s.Sequences) {
		text = append(text, "sequence "+s.Sequences[channel])
	} else if s.Channels > 1 {
		text = append(text, fmt.Sprintf("sequence %d of %d", channel+1, s.Channels))
	}
	for n := range text {
		text[n] = shortened(text[n], mostLabel/letter)
	}
	return text
}

// cells are the images of a row.
func (s *contactSheet) cells(row *lookRow, channel int) []cell {
	overview := row.overviews[channel]
	most := longest3D
	if s.flat() {
		most = longest2D
	}
	whole := cell{longest: most, planes: s.planes(overview.Data, overview.Size, overview.Spacing, middleOf(overview)), outline: true}
	whole.window = windowOf(whole.planes)
	s.mark(whole.planes, overview)
	whole.caption = extent(overview.Extent, s.flat())
	p := row.prepared
	size := [3]int{p.D, p.H, p.W}
	voxels := p.D * p.H * p.W
	part := func(data []float32) []float32 { return data[channel*voxels : (channel+1)*voxels] }
	middle := [3]int{p.D / 2, p.H / 2, p.W / 2}
	var field [3]float64
	for axis, mm := range s.Spacing {
		field[axis] = float64(size[axis]) * mm
	}
	seen := cell{longest: most, planes: s.planes(part(p.Data), size, s.Spacing, middle), caption: extent(field, s.flat())}
	seen.window = windowOf(seen.planes)
	list := []cell{whole, seen}
	for column, epoch := range row.Epochs {
		list = append(list, cell{longest: most, planes: s.planes(part(epoch.data), size, s.Spacing, middle), window: seen.window, caption: s.told(epoch, column)})
	}
	return list
}

// extent says how large an image is along D, H, W; in 2D along H, W.
func extent(mm [3]float64, flat bool) string {
	if flat {
		return fmt.Sprintf("%.0f x %.0f mm", mm[1], mm[2])
	}
	return fmt.Sprintf("%.0f x %.0f x %.0f mm", mm[0], mm[1], mm[2])
}

// middleOf is the voxel of an overview at the middle of the field.
func middleOf(o *prep.Overview) (middle [3]int) {
	for axis, size := range o.Size {
		middle[axis] = min(max(int(math.Round((o.Low[axis]+o.High[axis])/2)), 0), size-1)
	}
	return middle
}

// planes cuts an image: in 2D it is one plane, in 3D axial, coronal and sagittal
// as a radiologist looks at them, the patient's right on the left.
func (s *contactSheet) planes(data []float32, size [3]int, spacing [3]float64, middle [3]int) []plane {
	cut := func(down, right int, flipDown, flipRight bool, mark string) plane {
		p := plane{rows: size[down], columns: size[right], mark: mark}
		p.height, p.width = float64(p.rows)*spacing[down], float64(p.columns)*spacing[right]
		for r := range p.rows {
			for c := range p.columns {
				at := middle
				at[down], at[right] = r, c
				if flipDown {
					at[down] = p.rows - 1 - r
				}
				if flipRight {
					at[right] = p.columns - 1 - c
				}
				p.values = append(p.values, data[(at[0]*size[1]+at[1])*size[2]+at[2]])
			}
		}
		return p
	}
	if s.flat() {
		return []plane{cut(1, 2, false, false, "")}
	}
	if !s.anatomical {
		return []plane{cut(1, 2, false, false, ""), cut(0, 2, false, false, ""), cut(0, 1, false, false, "")}
	}
	return []plane{cut(1, 2, true, true, "R"), cut(0, 2, true, true, "R"), cut(0, 1, true, true, "A")}
}

// mark sets the outline of the field in the planes of an overview.
func (s *contactSheet) mark(planes []plane, o *prep.Overview) {
	axes := [][2]int{{1, 2}, {0, 2}, {0, 1}}
	turned := s.anatomical && !s.flat()
	for n := range planes {
		down, right := axes[n][0], axes[n][1]
		share := func(axis int, edge float64) float64 { return (edge + 0.5) / float64(o.Size[axis]) }
		top, bottom := share(down, o.Low[down]), share(down, o.High[down])
		left, far := share(right, o.Low[right]), share(right, o.High[right])
		if turned {
			top, bottom, left, far = 1-bottom, 1-top, 1-far, 1-left
		}
		planes[n].field = [4]float64{top, left, bottom, far}
	}
}

// outline draws the part of a box that lies within a frame; an edge on the
// frame's far border is drawn just inside.
func outline(canvas *image.RGBA, box, frame image.Rectangle) {
	box.Max.X, box.Max.Y = max(box.Max.X, box.Min.X+1), max(box.Max.Y, box.Min.Y+1)
	for _, edge := range []image.Rectangle{
		image.Rect(box.Min.X, box.Min.Y, box.Max.X, box.Min.Y+1), image.Rect(box.Min.X, box.Max.Y-1, box.Max.X, box.Max.Y),
		image.Rect(box.Min.X, box.Min.Y, box.Min.X+1, box.Max.Y), image.Rect(box.Max.X-1, box.Min.Y, box.Max.X, box.Max.Y),
	} {
		fill(canvas, edge.Intersect(frame), outlineColour)
	}
}

func fill(canvas *image.RGBA, area image.Rectangle, colour color.RGBA) {
	draw.Draw(canvas, area, image.NewUniform(colour), image.Point{}, draw.Src)
}

// write writes a line of text below and to the right of a point.
func write(canvas *image.RGBA, at image.Point, colour color.RGBA, text string) {
	face := basicfont.Face7x13
	drawer := font.Drawer{Dst: canvas, Src: image.NewUniform(colour), Face: face, Dot: fixed.P(at.X, at.Y+face.Ascent)}
	drawer.DrawString(text)
}

// writeMark writes a letter that can be read on bright and dark tissue.
func writeMark(canvas *image.RGBA, at image.Point, text string) {
	for _, edge := range []image.Point{{-1, 0}, {1, 0}, {0, -1}, {0, 1}, {-1, -1}, {1, 1}, {-1, 1}, {1, -1}} {
		write(canvas, at.Add(edge), color.RGBA{A: 0xff}, text)
	}
	write(canvas, at, markColour, text)
}

// shortened leaves out the middle of a text that is too long.
func shortened(text string, most int) string {
	letters := []rune(text)
	if len(letters) <= most {
		return text
	}
	head := (most - 2) / 2
	return string(letters[:head]) + ".." + string(letters[len(letters)-(most-2-head):])
}

// wrapped breaks a list at its commas into at most so many lines.
func wrapped(text string, width, lines int) []string {
	var list []string
	for part := range strings.SplitSeq(text, ", ") {
		part = shortened(part, width-1)
		last := len(list) - 1
		switch {
		case last >= 0 && len(list[last])+len(", ")+len(part) <= width-1:
			list[last] += ", " + part
		case len(list) == lines:
			list[last] = shortened(list[last]+", ...", width)
			return list
		case last >= 0:
			list[last] += ","
			fallthrough
		default:
			list = append(list, part)
		}
	}
	return list
}

func longestLine(lines []string) int {
	longest := 0
	for _, text := range lines {
		longest = max(longest, len([]rune(text)))
	}
	return longest
}
