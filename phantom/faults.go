package phantom

import (
	"math"
	"slices"
	"strings"

	"ballast/cohort"
	"ballast/stat"
)

// The ways in which the image of one subject gets into the row of another.
const (
	CopyExact     = "exact"     // the very same voxels
	CopyRescaled  = "rescaled"  // another brightness and contrast, rounded to 256 grey levels
	CopyShifted   = "shifted"   // one or two voxels further along each axis, zeros moving in
	CopyMirrored  = "mirrored"  // left and right exchanged
	CopyNoisy     = "noisy"     // half as much noise again
	CopyResampled = "resampled" // voxels a quarter longer
	CopyAll       = "all"       // noisy, shifted and rescaled at once
)

// Copies lists the values of Config.Copy.
var Copies = []string{CopyExact, CopyRescaled, CopyShifted, CopyMirrored, CopyNoisy, CopyResampled, CopyAll}

// validateFaults says what is wrong with the planted faults, or "".
func (c Config) validateFaults() string {
	switch {
	case c.Copies < 0 || c.Overlap < 0:
		return "copies and overlap cannot be negative"
	case c.Copies > 0 && !slices.Contains(Copies, c.Copy):
		return "copy " + strings.TrimSpace(c.Copy) + " is not one of " + strings.Join(Copies, ", ")
	}
	return ""
}

// copied tells whether subject k has the image of its predecessor: every second
// subject until there are Config.Copies of them.
func (c Config) copied(k int) bool { return k%2 == 1 && k/2 < c.Copies }

// plant gives subject k the changed image of its predecessor, with its own name,
// label and site.
func (c Config) plant(s *Subject, k int) {
	original := c
	original.Copies = 0
	from := original.Subject(k - 1)
	s.Volume, s.Mask = c.change(from, k)
}

// change makes the copy that subject k gets.
func (c Config) change(from Subject, k int) (volume, mask *cohort.Volume) {
	stream := c.stream("copy", k)
	volume, mask = clone(from.Volume), clone(from.Mask)
	all := c.Copy == CopyAll
	if c.Copy == CopyNoisy || all {
		addNoise(volume, float64(500*c.Noise), stream)
	}
	if c.Copy == CopyShifted || all {
		shift := [3]int{1 + stream.IntN(2), -1 - stream.IntN(2), 1 + stream.IntN(2)}
		volume, mask = moved(volume, shift), moved(mask, shift)
	}
	if c.Copy == CopyMirrored {
		mirror(volume)
		mirror(mask)
	}
	if c.Copy == CopyRescaled || all {
		rescale(volume, stream)
	}
	if c.Copy == CopyResampled {
		volume, mask = coarser(volume, 1.25), coarser(mask, 1.25)
		for n, x := range mask.Data {
			mask.Data[n] = float32(math.Floor(float64(x) + 0.5))
		}
	}
	return volume, mask
}

func clone(v *cohort.Volume) *cohort.Volume {
	copied := *v
	copied.Data = slices.Clone(v.Data)
	return &copied
}

// addNoise adds Rician noise to whole numbers.
func addNoise(v *cohort.Volume, sd float64, stream *stat.Stream) {
	if !(sd > 0) {
		return
	}
	image := make([]float64, len(v.Data))
	for n, x := range v.Data {
		image[n] = rician(float64(x), sd, stream)
	}
	v.Data = quantise(image)
}

// moved shifts the voxels of a 3D volume, of a 2D one within its plane.
func moved(v *cohort.Volume, shift [3]int) *cohort.Volume {
	out := clone(v)
	clear(out.Data)
	if v.Shape[2] == 1 {
		shift[2] = 0
	}
	n := 0
	for k := range v.Shape[2] {
		for j := range v.Shape[1] {
			for i := range v.Shape[0] {
				x, y, z := i-shift[0], j-shift[1], k-shift[2]
				if x >= 0 && x < v.Shape[0] && y >= 0 && y < v.Shape[1] && z >= 0 && z < v.Shape[2] {
					out.Data[n] = v.At(x, y, z)
				}
				n++
			}
		}
	}
	return out
}

// mirror reverses the rows.
func mirror(v *cohort.Volume) {
	for row := range slices.Chunk(v.Data, v.Shape[0]) {
		slices.Reverse(row)
	}
}

// rescale multiplies by 0.6 to 1.6, adds a little, and rounds to 256 grey levels,
// as after a detour over pictures.
func rescale(v *cohort.Volume, stream *stat.Stream) {
	gain := 0.6 + float64(stream.Float64())
	offset := float64(20 * stream.Float64())
	step := (float64(float64(slices.Max(v.Data))*gain) + offset) / 255
	for n, x := range v.Data {
		grey := math.Floor(float64((float64(float64(x)*gain)+offset)/step) + 0.5)
		v.Data[n] = float32(math.Floor(float64(grey*step) + 0.5))
	}
}

// coarser samples a volume linearly at voxels that are a factor longer, with its
// middle in place.
func coarser(v *cohort.Volume, factor float64) *cohort.Volume {
	out := *v
	for axis := range 3 {
		if v.Shape[axis] == 1 {
			continue
		}
		out.Shape[axis] = int(math.Floor(float64(v.Shape[axis]) / factor))
		out.Spacing[axis] = float64(float32(v.Spacing[axis] * factor))
		out.Affine[axis][axis] = out.Spacing[axis]
		width := func(w *cohort.Volume) float64 { return float64(float64(w.Shape[axis]-1) * w.Spacing[axis]) }
		out.Affine[axis][3] = v.Affine[axis][3] + float64((width(v)-width(&out))*0.5)
	}
	image := make([]float64, 0, out.Shape[0]*out.Shape[1]*out.Shape[2])
	at := func(n, axis int) (int, float64) {
		if v.Shape[axis] == 1 {
			return 0, 0
		}
		x := float64((float64(n)-float64(float64(out.Shape[axis]-1)*0.5))*factor) + float64(float64(v.Shape[axis]-1)*0.5)
		low := max(0, min(v.Shape[axis]-2, int(math.Floor(x))))
		return low, max(0, min(1, x-float64(low)))
	}
	for k := range out.Shape[2] {
		z, c := at(k, 2)
		for j := range out.Shape[1] {
			y, b := at(j, 1)
			for i := range out.Shape[0] {
				x, a := at(i, 0)
				sum := 0.0
				for corner := range 8 {
					u, w, t := corner&1, corner>>1&1, corner>>2&1
					weight := float64(share(a, u)*share(b, w)) * share(c, t)
					if weight > 0 {
						sum += float64(weight * float64(v.At(x+u, y+w, z+t)))
					}
				}
				image = append(image, sum)
			}
		}
	}
	out.Data = quantise(image)
	return &out
}

// share is the weight of the lower or the upper neighbour.
func share(fraction float64, upper int) float64 {
	if upper == 1 {
		return fraction
	}
	return 1 - fraction
}

// The sets that the table names when Config.Overlap is set: every fourth
// subject validates.
func set(k int) string {
	if k%4 == 3 {
		return "validation"
	}
	return "train"
}

// otherSet is where the second image of an overlapping subject goes.
func otherSet(k int) string {
	if set(k) == "train" {
		return "validation"
	}
	return "train"
}

// second is the further image of subject k < Config.Overlap: the same anatomy
// with noise of its own, as from a second scan on the same day.
func (c Config) second(s Subject, k int) *cohort.Volume {
	volume := clone(s.Volume)
	addNoise(volume, float64(500*c.Noise), c.stream("second", k))
	return volume
}
