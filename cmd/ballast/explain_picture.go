package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"

	"ballast/cohort"
	"ballast/explain"
)

// The outlines of the mask and of the field of view have none of a map's colours.
var (
	maskColour  = color.RGBA{0x5c, 0xff, 0x8a, 0xff}
	fieldColour = color.RGBA{0x90, 0x96, 0xa0, 0xff}
)

// Sizes in pixels.
const (
	explainedSide = 240 // longest side of a plane
	mostSlices    = 5   // of a row
	barWidth      = 14  // of the colour bar
)

// writePicture draws the map over the image and writes it as PNG.
func writePicture(about *explainedImage, m *explain.Map, units string) error {
	var file bytes.Buffer
	err := png.Encode(&file, newMapPicture(about, m, units).draw())
	if err == nil {
		err = writeWhole(about.Picture, file.Bytes(), []byte("\x89PNG"))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", about.Picture, withoutPath(err))
	}
	return nil
}

// A mapPicture is rows of planes of an image, each with the map over it.
type mapPicture struct {
	about  *explainedImage
	m      *explain.Map
	units  string
	window window
	limit  float64 // the value that is drawn in the strongest colour
	signed bool    // whether values below zero are drawn
	scale  float64 // pixels per mm
	rows   [][]mapPlane
}

// A mapPlane is a plane across a voxel axis of the image.
type mapPlane struct {
	down, right     int  // voxel axes
	upwards, leftly bool // they run against the voxel index
	at              [3]int
	caption         string
	bare            bool // without the map
}

func newMapPicture(about *explainedImage, m *explain.Map, units string) *mapPicture {
	p := &mapPicture{about: about, m: m, units: units}
	for _, x := range m.Volume.Data {
		p.limit = max(p.limit, math.Abs(float64(x)))
		p.signed = p.signed || x < 0
	}
	p.rows = p.arrange()
	var shown []plane
	for _, row := range p.rows {
		for _, plane := range row {
			shown = append(shown, p.cut(plane, m.Image))
		}
	}
	p.window = windowOf(shown)
	longest := 0.0
	for axis, size := range m.Image.Shape {
		longest = max(longest, float64(size)*m.Image.Spacing[axis])
	}
	p.scale = explainedSide / longest
	if len(p.rows) == 1 { // one plane and room for it
		p.scale *= 1.75
	}
	return p
}

// arrange chooses the planes: of a 2D image the one there is, without and with the
// map; of a volume, the three through the peak, and slices through the field.
func (p *mapPicture) arrange() [][]mapPlane {
	v := p.m.Image
	world, reversed := v.Orientation()
	along := [3]int{} // voxel axis along world axis R, A, S
	for voxel, axis := range world {
		along[axis] = voxel
	}
	centre := p.centre()
	plane := func(down, right int) mapPlane { // world axes, each drawn against its direction
		d, r := along[down], along[right]
		return mapPlane{down: d, right: r, upwards: !reversed[d], leftly: !reversed[r], at: centre}
	}
	axial, coronal, sagittal := plane(1, 0), plane(2, 0), plane(2, 1)
	axial.caption, coronal.caption, sagittal.caption = "axial", "coronal", "sagittal"
	for world, flat := range map[int]mapPlane{2: axial, 1: coronal, 0: sagittal} {
		if v.Shape[along[world]] == 1 {
			flat.caption = "image"
			with := flat
			flat.bare, with.caption = true, "map over image"
			return [][]mapPlane{{flat, with}}
		}
	}
	if p.about.Slices > 1 || p.thin(along[2]) {
		return p.slices(axial, along[2])
	}
	var bare []mapPlane
	for _, one := range []mapPlane{axial, coronal, sagittal} {
		one.bare = true
		bare = append(bare, one)
	}
	through := []mapPlane{axial, coronal, sagittal}
	for i := range through {
		through[i].caption = "through the peak"
	}
	rows := [][]mapPlane{bare, through}
	return append(rows, p.slices(axial, along[2])[1])
}

// thin tells whether the field of view is one slice across a voxel axis.
func (p *mapPicture) thin(axis int) bool {
	low, high := p.extent(axis)
	return low == high
}

// extent is the first and the last slice of the field of view.
func (p *mapPicture) extent(axis int) (low, high int) {
	shape := p.m.Field.Shape
	low, high = shape[axis], -1
	for n, x := range p.m.Field.Data {
		if x != 0 {
			at := [3]int{n % shape[0], n / shape[0] % shape[1], n / shape[0] / shape[1]}[axis]
			low, high = min(low, at), max(high, at)
		}
	}
	return low, high
}

// centre is the peak, or the middle of the image.
func (p *mapPicture) centre() [3]int {
	if p.m.Peak != nil {
		return p.m.Peak.Voxel
	}
	shape := p.m.Image.Shape
	return [3]int{shape[0] / 2, shape[1] / 2, shape[2] / 2}
}

// slices are spread over the field of view, in two rows, without and with the map.
func (p *mapPicture) slices(like mapPlane, across int) [][]mapPlane {
	low, high := p.extent(across)
	count := min(mostSlices, high-low+1)
	rows := make([][]mapPlane, 2)
	for n := range count {
		at := low + (2*n+1)*(high-low+1)/(2*count)
		if count == 1 {
			at = p.centre()[across]
		}
		one := like
		one.at[across] = at
		one.caption = fmt.Sprintf("slice %d", at)
		rows[1] = append(rows[1], one)
		one.bare = true
		rows[0] = append(rows[0], one)
	}
	return rows
}

// cut takes a plane out of a volume.
func (p *mapPicture) cut(m mapPlane, v *cohort.Volume) plane {
	c := plane{rows: v.Shape[m.down], columns: v.Shape[m.right]}
	c.height, c.width = float64(c.rows)*v.Spacing[m.down], float64(c.columns)*v.Spacing[m.right]
	at := m.at
	for row := range c.rows {
		for column := range c.columns {
			at[m.down], at[m.right] = row, column
			if m.upwards {
				at[m.down] = c.rows - 1 - row
			}
			if m.leftly {
				at[m.right] = c.columns - 1 - column
			}
			c.values = append(c.values, v.At(at[0], at[1], at[2]))
		}
	}
	return c
}

// draw draws the whole picture.
func (p *mapPicture) draw() *image.RGBA {
	title := p.title()
	at := image.Pt(margin, margin+line*len(title)+line)
	size := image.Pt(2*margin+letter*longestLine(title), at.Y)
	var frames [][]image.Rectangle
	for _, row := range p.rows {
		x, highest := at.X, 0
		var list []image.Rectangle
		for _, m := range row {
			c := p.cut(m, p.m.Image)
			w, h := max(1, int(math.Round(c.width*p.scale))), max(1, int(math.Round(c.height*p.scale)))
			list = append(list, image.Rect(x, at.Y, x+w, at.Y+h))
			x, highest = x+max(w, letter*len(m.caption))+between, max(highest, h)
		}
		frames = append(frames, list)
		if len(frames) == 1 {
			x += gap + max(barWidth+letter*10, letter*len(p.units))
		}
		size.X = max(size.X, x+margin)
		at.Y += highest + line + gap
	}
	size.Y = max(at.Y, margin+line*len(title)+2*line+barHeight+2*line)
	canvas := image.NewRGBA(image.Rectangle{Max: size})
	fill(canvas, canvas.Bounds(), pageColour)
	writeLines(canvas, image.Pt(margin, margin), title)
	for r, row := range p.rows {
		for n, m := range row {
			p.drawPlane(canvas, frames[r][n], m)
		}
	}
	last := frames[0][len(frames[0])-1]
	p.drawBar(canvas, image.Pt(last.Max.X+gap, last.Min.Y))
	return canvas
}

// title says what the picture is of.
func (p *mapPicture) title() []string {
	a := p.about
	lines := []string{
		fmt.Sprintf("%s: what speaks for class %s (probability %.3f)", imageName(a.File), a.Class, a.Probability),
	}
	if a.Peak != nil {
		lines = append(lines, fmt.Sprintf("cross: peak %s", a.Peak.place(a.pixels)))
	} else {
		lines = append(lines, "nothing in the image speaks for the class")
	}
	if a.Trough != nil {
		lines = append(lines, "lowest "+a.Trough.place(a.pixels))
	}
	if a.Inside != nil && a.Inside.Mass != nil {
		lines = append(lines, fmt.Sprintf("green outline: mask, %.0f %% of the positive mass in %.1f %% of the field of view", 100**a.Inside.Mass, 100*a.Inside.Field))
	}
	if a.Sanity != nil && a.Sanity.Hardly {
		lines = append(lines, fmt.Sprintf("the map hardly depends on the weights: rank correlation %.2f with random ones", *a.Sanity.Median))
	}
	return append(lines, "grey frame: the field that the network sees; the map shows where it looks, not why")
}

// drawPlane draws a plane with the map, the mask's outline and the peak.
func (p *mapPicture) drawPlane(canvas *image.RGBA, frame image.Rectangle, m mapPlane) {
	grey := p.cut(m, p.m.Image)
	grey.draw(canvas, frame, p.window)
	if !m.bare {
		p.drawMap(canvas, frame, p.cut(m, p.m.Volume))
		drawBorder(canvas, frame, p.cut(m, p.m.Field), fieldColour)
	}
	if p.m.Mask != nil {
		drawBorder(canvas, frame, p.cut(m, p.m.Mask), maskColour)
	}
	if p.m.Peak != nil && !m.bare {
		p.drawPeak(canvas, frame, m)
	}
	write(canvas, image.Pt(frame.Min.X, frame.Max.Y+2), textColour, m.caption)
}

// drawMap blends the colours of a plane of the map over what is drawn.
func (p *mapPicture) drawMap(canvas *image.RGBA, frame image.Rectangle, c plane) {
	down, right := coverage(c.rows, frame.Dy()), coverage(c.columns, frame.Dx())
	for y, rows := range down {
		for x, columns := range right {
			sum := 0.0
			for r, weight := range rows.weights {
				for k, across := range columns.weights {
					sum += weight * across * float64(c.values[(rows.first+r)*c.columns+columns.first+k])
				}
			}
			share := 0.0
			if p.limit > 0 {
				share = sum / p.limit
			}
			at := image.Pt(frame.Min.X+x, frame.Min.Y+y)
			canvas.SetRGBA(at.X, at.Y, blend(canvas.RGBAAt(at.X, at.Y), share))
		}
	}
}

// blend lays the colour of a value over a pixel, the stronger the larger it is.
func blend(under color.RGBA, share float64) color.RGBA {
	colour, weight := mapColour(share), 0.85*math.Sqrt(min(math.Abs(share), 1))
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a)*(1-weight) + float64(b)*weight)) }
	return color.RGBA{mix(under.R, colour.R), mix(under.G, colour.G), mix(under.B, colour.B), 0xff}
}

// The colours run evenly in lightness, so that they can be told apart by people
// who do not see red and green as different: towards yellow above zero, towards
// pale blue below.
var (
	positiveColours = []color.RGBA{{0x40, 0x10, 0x60, 0xff}, {0x9c, 0x1f, 0x6e, 0xff}, {0xe0, 0x4a, 0x45, 0xff}, {0xf8, 0x9a, 0x20, 0xff}, {0xfc, 0xf0, 0x60, 0xff}}
	negativeColours = []color.RGBA{{0x10, 0x20, 0x60, 0xff}, {0x18, 0x50, 0xa0, 0xff}, {0x30, 0x90, 0xd0, 0xff}, {0x80, 0xd0, 0xf0, 0xff}}
)

// mapColour is the colour of a value as a share of the largest.
func mapColour(share float64) color.RGBA {
	list := positiveColours
	if share < 0 {
		list = negativeColours
	}
	at := min(math.Abs(share), 1) * float64(len(list)-1)
	low := min(int(at), len(list)-2)
	mix := func(a, b uint8) uint8 {
		return uint8(math.Round(float64(a) + (at-float64(low))*(float64(b)-float64(a))))
	}
	a, b := list[low], list[low+1]
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 0xff}
}

// drawBorder outlines what is above zero in a plane.
func drawBorder(canvas *image.RGBA, frame image.Rectangle, c plane, colour color.RGBA) {
	inside := func(x, y int) bool {
		if x < 0 || y < 0 || x >= frame.Dx() || y >= frame.Dy() {
			return false
		}
		return c.values[y*c.rows/frame.Dy()*c.columns+x*c.columns/frame.Dx()] > 0
	}
	for y := range frame.Dy() {
		for x := range frame.Dx() {
			if inside(x, y) && !(inside(x-1, y) && inside(x+1, y) && inside(x, y-1) && inside(x, y+1)) {
				canvas.SetRGBA(frame.Min.X+x, frame.Min.Y+y, colour)
			}
		}
	}
}

// drawPeak marks the peak with a cross where the plane goes through it.
func (p *mapPicture) drawPeak(canvas *image.RGBA, frame image.Rectangle, m mapPlane) {
	peak, shape := p.m.Peak.Voxel, p.m.Image.Shape
	across := 3 - m.down - m.right
	if m.at[across] != peak[across] {
		return
	}
	row, column := peak[m.down], peak[m.right]
	if m.upwards {
		row = shape[m.down] - 1 - row
	}
	if m.leftly {
		column = shape[m.right] - 1 - column
	}
	x := frame.Min.X + int((float64(column)+0.5)/float64(shape[m.right])*float64(frame.Dx()))
	y := frame.Min.Y + int((float64(row)+0.5)/float64(shape[m.down])*float64(frame.Dy()))
	for n := 3; n <= 7; n++ {
		for _, at := range []image.Point{{x + n, y}, {x - n, y}, {x, y + n}, {x, y - n}} {
			if at.In(frame) {
				canvas.SetRGBA(at.X, at.Y, brightColour)
			}
		}
	}
}

// barHeight is that of the colour bar in pixels.
const barHeight = 160

// drawBar draws the colours with their values.
func (p *mapPicture) drawBar(canvas *image.RGBA, at image.Point) {
	low := 0.0
	if p.signed {
		low = -1
	}
	write(canvas, image.Pt(at.X, at.Y-line-2), textColour, p.units)
	for y := range barHeight {
		share := 1 - (1-low)*float64(y)/(barHeight-1)
		colour := blend(color.RGBA{0x60, 0x60, 0x60, 0xff}, share)
		fill(canvas, image.Rect(at.X, at.Y+y, at.X+barWidth, at.Y+y+1), colour)
	}
	for _, tick := range []float64{1, 0.5, 0, -0.5, -1} {
		if tick < low {
			continue
		}
		y := at.Y + int(math.Round((1-tick)/(1-low)*(barHeight-1)))
		fill(canvas, image.Rect(at.X+barWidth, y, at.X+barWidth+4, y+1), textColour)
		write(canvas, image.Pt(at.X+barWidth+7, min(max(y-line/2, at.Y), at.Y+barHeight-line)), textColour, fmt.Sprintf("%.3g", tick*p.limit))
	}
}
