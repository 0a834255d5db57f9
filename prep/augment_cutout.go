package prep

import (
	"errors"
	"fmt"
	"math"

	"ballast/stat"
)

// Cutout blanks boxes: the network must not rest on a single detail.
//
// Each box is size times as long as the grid along every axis, rounded to whole
// voxels, at least one, and centred on a voxel drawn evenly from the grid, so
// that parts of it may lie outside; it is filled with the background in all
// channels. A box longer than half of the grid could hide a whole tumour and is
// refused.
//
// After DeVries and Taylor, "Improved regularization of convolutional neural
// networks with cutout" (arXiv:1708.04552, 2017).
type Cutout struct {
	Probability float64 `yaml:"probability" doc:"share of the images from which boxes are cut"`
	Size        float64 `yaml:"size" doc:"largest length of a box as a share of the grid's, at most 0.5"`
	Boxes       int     `yaml:"boxes" doc:"largest number of boxes"`
}

// A CutoutDraw is the parameters of one Cutout.
type CutoutDraw struct {
	Boxes []BoxDraw `json:"boxes"`
}

// A BoxDraw is one box in voxels along D, H, W; it may reach over the border.
type BoxDraw struct {
	First [3]int `json:"first"`
	Size  [3]int `json:"size"`
}

const maxBoxes = 64

func (o Cutout) check() error {
	low := 0.0
	if o.Probability > 0 {
		low = 1
	}
	return errors.Join(setting("cutout.size", o.Size, 0, 0.5), setting("cutout.boxes", float64(o.Boxes), low, maxBoxes))
}

func (o Cutout) draw(s *stat.Stream, g grid) *CutoutDraw {
	d := &CutoutDraw{Boxes: make([]BoxDraw, 1+s.IntN(o.Boxes))}
	for b := range d.Boxes {
		share := uniform(s, 0, o.Size)
		for axis, size := range g.size {
			length := max(1, int(math.Floor(float64(share*float64(size))+0.5)))
			d.Boxes[b].First[axis], d.Boxes[b].Size[axis] = s.IntN(size)-length/2, length
		}
	}
	return d
}

func (d *CutoutDraw) checkFits() error {
	if len(d.Boxes) > maxBoxes {
		return fmt.Errorf("cutout: %d boxes; at most %d", len(d.Boxes), maxBoxes)
	}
	for _, box := range d.Boxes {
		for axis := range 3 {
			if box.First[axis] < -1<<15 || box.First[axis] > 1<<15 || box.Size[axis] < 0 || box.Size[axis] > 1<<15 {
				return errors.New("cutout: a box beyond 32768 voxels")
			}
		}
	}
	return nil
}

func (d *CutoutDraw) apply(data []float32, g grid, background float32) {
	for _, box := range d.Boxes {
		var low, high [3]int
		for axis, size := range g.size {
			low[axis], high[axis] = min(max(box.First[axis], 0), size), max(min(box.First[axis]+box.Size[axis], size), 0)
		}
		for z := low[0]; z < high[0]; z++ {
			for y := low[1]; y < high[1]; y++ {
				row := data[(z*g.size[1]+y)*g.size[2]:][:g.size[2]]
				for x := low[2]; x < high[2]; x++ {
					row[x] = background
				}
			}
		}
	}
}
