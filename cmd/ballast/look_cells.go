package main

import (
	"image"
	"image/color"
	"math"
	"slices"
)

// A cell is one image on the sheet, with a caption beneath.
type cell struct {
	planes  []plane
	longest int // pixels
	window  window
	outline bool
	caption string
}

// A plane is one slice as it is drawn, rows from the top.
type plane struct {
	rows, columns int
	values        []float32
	height, width float64    // mm
	mark          string     // at the left edge
	field         [4]float64 // top, left, bottom, right of the outline as shares of the plane
}

// A window is the values that are drawn black and white.
type window struct{ black, white float32 }

// windowOf leaves out the darkest hundredth and the brightest two hundredth of
// what is shown: a few bright voxels must not make the rest dark.
func windowOf(planes []plane) window {
	var sorted []float32
	for _, p := range planes {
		sorted = append(sorted, p.values...)
	}
	slices.Sort(sorted)
	last := float64(len(sorted) - 1)
	w := window{sorted[int(0.01*last)], sorted[int(0.995*last)]}
	if !(w.white > w.black) {
		w = window{sorted[0], max(sorted[len(sorted)-1], sorted[0]+1)}
	}
	return w
}

func (w window) grey(x float64) uint8 {
	share := (x - float64(w.black)) / (float64(w.white) - float64(w.black))
	return uint8(math.Round(255 * min(max(share, 0), 1)))
}

// scale is the pixels per mm of a cell.
func (c cell) scale() float64 {
	side := 0.0
	for _, p := range c.planes {
		side = max(side, p.height, p.width)
	}
	return float64(c.longest) / side
}

// pixels is the size of a plane on the sheet.
func (c cell) pixels(p plane) (width, height int) {
	scale := c.scale()
	return max(1, int(math.Round(p.width*scale))), max(1, int(math.Round(p.height*scale)))
}

func (c cell) size() (width, height int) {
	for n, p := range c.planes {
		w, h := c.pixels(p)
		width, height = width+w, max(height, h)
		if n > 0 {
			width += between
		}
	}
	return width, height
}

// captionLines breaks the caption to the width of the column.
func (c cell) captionLines(columnWidth int) []string {
	return wrapped(c.caption, max(12, columnWidth/letter), 4)
}

// draw draws a cell with its caption.
func (c cell) draw(canvas *image.RGBA, at image.Point, columnWidth int) {
	x := at.X
	_, height := c.size()
	for _, p := range c.planes {
		w, h := c.pixels(p)
		frame := image.Rect(x, at.Y, x+w, at.Y+h)
		p.draw(canvas, frame, c.window)
		if p.mark != "" {
			writeMark(canvas, image.Pt(x+3, at.Y+h/2-line/2), p.mark)
		}
		if c.outline {
			box := image.Rect(x+int(math.Round(p.field[1]*float64(w))), at.Y+int(math.Round(p.field[0]*float64(h))),
				x+int(math.Round(p.field[3]*float64(w))), at.Y+int(math.Round(p.field[2]*float64(h))))
			outline(canvas, box, frame)
		}
		x += w + between
	}
	for n, text := range c.captionLines(columnWidth) {
		write(canvas, image.Pt(at.X, at.Y+height+2+n*line), textColour, text)
	}
}

// draw draws a plane into a frame: each pixel is the mean over the part of the
// plane that it covers, so that voxels keep their shape at any scale.
func (p plane) draw(canvas *image.RGBA, frame image.Rectangle, w window) {
	down, right := coverage(p.rows, frame.Dy()), coverage(p.columns, frame.Dx())
	for y, rows := range down {
		for x, columns := range right {
			sum := 0.0
			for r, weight := range rows.weights {
				voxels := p.values[(rows.first+r)*p.columns+columns.first:]
				for c, across := range columns.weights {
					sum += weight * across * float64(voxels[c])
				}
			}
			g := w.grey(sum)
			canvas.SetRGBA(frame.Min.X+x, frame.Min.Y+y, color.RGBA{g, g, g, 0xff})
		}
	}
}

// A covered is the voxels that a pixel covers and the share of it of each.
type covered struct {
	first   int
	weights []float64
}

func coverage(voxels, pixels int) []covered {
	list := make([]covered, pixels)
	for n := range list {
		low, high := float64(n*voxels)/float64(pixels), float64((n+1)*voxels)/float64(pixels)
		list[n].first = min(int(low), voxels-1)
		for voxel := list[n].first; voxel < voxels && float64(voxel) < high-1e-9; voxel++ {
			share := (min(high, float64(voxel+1)) - max(low, float64(voxel))) / (high - low)
			list[n].weights = append(list[n].weights, share)
		}
	}
	return list
}
