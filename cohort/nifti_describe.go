package cohort

import (
	"math"
	"strings"
)

// describe describes one volume or all.
func (f *niftiFile) describe(index int) (*Description, error) {
	d := f.summary()
	volume, count := 0, f.volumes
	if index >= 0 {
		var err error
		if volume, err = f.choose(index); err != nil {
			return nil, err
		}
		count = 1
		if f.volumes > 1 {
			d.choose(volume)
		}
	}
	if err := f.seek(volume); err != nil {
		return nil, err
	}
	var m moments
	read, err := f.kind.scan(f.source, count*f.voxels, f.order, f.scale, f.shift, m.add)
	f.position += read
	if err != nil {
		return nil, truncation(err, f.position, f.end())
	}
	if volume+count == f.volumes {
		if err := f.source.finish(); err != nil {
			return nil, err
		}
	}
	m.fill(d)
	if largest := max(-m.min, m.max); f.kind.integer && m.count > 0 && f.scale == 1 && f.shift == 0 && largest > 1<<24 {
		d.note(LevelInfo, "rounded to float32, which holds whole numbers exactly up to 16777216", "the image holds whole numbers up to %.0f", largest)
	}
	return d, nil
}

// summary describes the file without its values.
func (f *niftiFile) summary() *Description {
	d := &Description{
		Format: "NIfTI-1", ByteOrder: strings.ToLower(strings.TrimSuffix(f.order.String(), "Endian")),
		Shape: f.whole, Dtype: f.kind.name, Scaling: Scaling{f.scale, f.shift},
		Extensions: len(f.extensions), Volumes: f.volumes,
	}
	if f.size == 540 {
		d.Format = "NIfTI-2"
	}
	if !f.single {
		d.Format += " pair (.hdr, .img)"
	}
	for _, e := range f.extensions {
		d.ExtensionCodes = append(d.ExtensionCodes, e.code)
	}
	d.locate(f.place)
	f.noteGeometry(d)
	f.noteStorage(d)
	return d
}

// noteGeometry compares what the header says of the image's place in the world.
func (f *niftiFile) noteGeometry(d *Description) {
	switch {
	case f.sformCode > 0 && f.qformCode > 0:
		f.noteDisagreement(d)
	case f.sformCode <= 0 && f.qformCode <= 0:
		d.note(LevelWarning, "the voxel sizes are used, with i towards the left (as nibabel does); left and right may be swapped: set a form when converting",
			"sform_code and qform_code are 0: the header does not say how the image lies in the body")
	}
	if f.sformCode > 0 {
		f.noteSform(d)
	}
	for _, code := range []struct {
		name  string
		value int
	}{{"sform_code", f.sformCode}, {"qform_code", f.qformCode}} {
		if code.value < 0 || code.value > 5 {
			d.note(LevelWarning, "a code above 0 is taken for a valid one, any other for 0", "%s is %d, not one of 0 to 5", code.name, code.value)
		}
	}
	if f.pixdim[0] != 1 && f.pixdim[0] != -1 && f.qformCode > 0 {
		d.note(LevelInfo, "taken for 1", "pixdim[0], the handedness of the qform, is %g, not 1 or -1", f.pixdim[0])
	}
	for axis := 1; axis <= min(3, int(f.dim[0])); axis++ {
		if x := f.pixdim[axis]; !(x > 0) {
			d.note(LevelWarning, "0 is taken for 1 and a negative size for a positive one", "the voxel size along axis %d is %g", axis, x)
		}
	}
	switch f.unit {
	case 0:
		d.note(LevelInfo, "taken for mm", "xyzt_units does not say the unit of length")
	case 1, 3:
		d.note(LevelInfo, "affine and spacing were converted to mm", "lengths are stored in %s", map[int]string{1: "metres", 3: "micrometres"}[f.unit])
	case 2:
	default:
		d.note(LevelWarning, "taken for mm", "the unit of length has code %d, which NIfTI does not define", f.unit)
	}
}

// noteDisagreement says how far apart sform and qform put a voxel, when that is
// more than a tenth of a voxel.
func (f *niftiFile) noteDisagreement(d *Description) {
	q, err := f.qform()
	if err != nil {
		d.note(LevelInfo, "the sform is used", "the qform is damaged: %v", err)
		return
	}
	scale := f.millimetres()
	for row := range 3 {
		for column := range 4 {
			q[row][column] *= scale
		}
	}
	size := spacingOf(q)
	if worst := farthestCorner(f.place, q, f.shape); !(worst <= 0.1*min(size[0], size[1], size[2])) {
		codes := (&Volume{Affine: q, Spacing: size}).AxisCodes()
		d.note(LevelWarning, "the sform is used, as nibabel does; other programs prefer the qform: make both agree",
			"sform and qform (%s) disagree by up to %.3g mm", codes, worst)
	}
}

// noteSform says what is odd about the sform itself.
func (f *niftiFile) noteSform(d *Description) {
	stored, scale := f.spacing(), f.millimetres()
	for axis := range min(3, int(f.dim[0])) {
		want := stored[axis] * scale
		if !(math.Abs(d.Spacing[axis]-want) <= 0.01*want) {
			d.note(LevelWarning, "the sform is used", "the voxel size along axis %d is %.4g mm by the sform, %.4g mm by pixdim", axis+1, d.Spacing[axis], want)
		}
	}
	if f.place == [3][4]float64{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}} {
		d.note(LevelWarning, "check it against the original: spacing and orientation may be wrong", "the sform is the identity, as written by programs that lost the geometry")
	}
	if a, b, angle := skew(f.place); angle > 1 {
		d.note(LevelWarning, "the affine is used as it is, resampling undoes it; other programs may ignore the shear",
			"axes %c and %c of the sform meet at %.3g degrees", "ijk"[a], "ijk"[b], 90-angle)
	}
}

// skew returns the two axes that are farthest from a right angle, and how many
// degrees.
func skew(affine [3][4]float64) (first, second int, degrees float64) {
	size := spacingOf(affine)
	for a := range 3 {
		for b := a + 1; b < 3; b++ {
			dot := 0.0
			for row := range 3 {
				dot += float64(affine[row][a] / size[a] * affine[row][b] / size[b])
			}
			if angle := math.Asin(min(math.Abs(dot), 1)) * 180 / math.Pi; angle > degrees {
				first, second, degrees = a, b, angle
			}
		}
	}
	return first, second, degrees
}

// noteStorage says what is unusual about the stored numbers.
func (f *niftiFile) noteStorage(d *Description) {
	if f.bitpix != 8*f.kind.size {
		d.note(LevelInfo, "the type counts", "bitpix is %d, but %s has %d bits", f.bitpix, f.kind.name, 8*f.kind.size)
	}
	if f.kind.name == "rgb24" || f.kind.name == "rgba32" {
		d.note(LevelInfo, "read as luminance, 0.299 R + 0.587 G + 0.114 B", "the voxels are colours")
	}
	if !(f.slope == 0 && f.inter == 0) && (f.slope == 0 || f.slope-f.slope != 0) {
		d.note(LevelInfo, "the numbers are used as they are stored, as nibabel does", "scl_slope is %g and scl_inter %g", f.slope, f.inter)
	}
	if f.slope < 0 {
		d.note(LevelWarning, "check that bright and dark are not swapped", "scl_slope is negative: %g", f.slope)
	}
	if f.problem != "" {
		d.note(LevelInfo, "the rest of the extensions is skipped", "the list of header extensions is damaged: %s", f.problem)
	}
	if extra := f.source.size - f.end(); !f.source.compressed && extra > 0 {
		d.note(LevelInfo, "ignored", "%d bytes follow the last voxel", extra)
	}
}
