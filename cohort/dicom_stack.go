package cohort

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"ballast/cohort/dicom"
)

// A dicomStack is the slices of a series put in order: volumes of one grid.
type dicomStack struct {
	shape   [3]int
	affine  [3][4]float64
	volumes [][]dicomSlice // each from the lowest position along the normal up
	what    string         // describes the volumes in a message
	notes   []Note
}

// A dicomSlice is one picture of the body: a file, a frame of it, or a tile of a
// mosaic. Vectors are in DICOM's patient coordinates (LPS), mm.
type dicomSlice struct {
	file             *dicomFile
	frame, tile      int
	header           *dicom.Frame
	placed           bool // position and orientation are stated
	position         [3]float64
	slope, intercept float64
	along            float64 // of the position, along the normal
}

// Tolerances. Positions are decimal texts of scanner coordinates, good to a
// hundredth of a millimetre.
const (
	samePlace     = 0.01  // mm: slices closer than this lie at one place
	sameDirection = 1e-3  // of the components of a direction
	evenSpacing   = 0.05  // a step may differ from the median step by this share
	exactSpacing  = 0.01  // and up to this share nobody is told
	gapSteps      = 1.5   // steps from which a slice is missing
	inPlaneDrift  = 0.1   // pixels that a slice may lie off the line of the others
	shearNoted    = 0.017 // slope of that line against the normal: 1 degree
)

// newDICOMStack orders the slices of a series.
func newDICOMStack(files []*dicomFile) (stack dicomStack, err error) {
	stack.shape[0], stack.shape[1], err = commonSize(files)
	if err != nil {
		return stack, err
	}
	list := listSlices(files)
	if !slices.ContainsFunc(list, func(s dicomSlice) bool { return s.placed }) {
		return stack, stack.unplaced(files, list)
	}
	for _, slice := range list {
		if !slice.placed {
			return stack, inFile(slice.file.path, fmt.Errorf("%w: a slice without ImagePositionPatient or ImageOrientationPatient among others that have them", ErrHeader))
		}
	}
	frame, err := newSliceFrame(list, &stack)
	if err != nil {
		return stack, err
	}
	places := frame.group(list)
	if err := stack.place(frame, places); err != nil {
		return stack, err
	}
	return stack, stack.separate(places)
}

// commonSize returns the columns and rows that all pictures have.
func commonSize(files []*dicomFile) (columns, rows int, err error) {
	size := func(file *dicomFile) (int, int) {
		if file.mosaic != nil {
			return file.mosaic.Width, file.mosaic.Height
		}
		return file.header.Columns, file.header.Rows
	}
	columns, rows = size(files[0])
	for _, file := range files {
		if c, r := size(file); c != columns || r != rows {
			return 0, 0, fmt.Errorf("%w: slices of different sizes in one series: %s has %d x %d pixels, %s %d x %d", ErrUnsupported,
				filepath.Base(files[0].path), columns, rows, filepath.Base(file.path), c, r)
		}
	}
	return columns, rows, nil
}

// listSlices takes files apart into slices.
func listSlices(files []*dicomFile) (list []dicomSlice) {
	for _, file := range files {
		for n := range file.header.Frames {
			h := &file.header.Frames[n]
			slice := dicomSlice{file: file, frame: n, header: h, slope: h.Slope, intercept: h.Intercept}
			if slice.slope == 0 { // means nothing; left out by other readers as well
				slice.slope = 1
			}
			if h.Position != nil && h.Orientation != nil {
				slice.placed, slice.position = true, [3]float64(h.Position)
			}
			if file.mosaic == nil {
				list = append(list, slice)
				continue
			}
			for tile := range file.mosaic.Tiles {
				slice.tile = tile
				slice.position = tilePosition(file, h, tile)
				list = append(list, slice)
			}
		}
	}
	return list
}

// tilePosition is where the first pixel of a mosaic's tile lies. The position in
// the header is that of the whole picture's first pixel, had its centre lain where
// the first slice's centre lies.
func tilePosition(file *dicomFile, h *dicom.Frame, tile int) (position [3]float64) {
	if h.Position == nil || h.Orientation == nil {
		return position
	}
	spacing := pixelSpacing(h)
	right := spacing[1] * float64(file.header.Columns-file.mosaic.Width) / 2
	down := spacing[0] * float64(file.header.Rows-file.mosaic.Height) / 2
	up := sliceDistance(h) * float64(tile)
	for n := range position {
		position[n] = h.Position[n] + float64(h.Orientation[n]*right) + float64(h.Orientation[3+n]*down) + float64(file.mosaic.Normal[n]*up)
	}
	return position
}

// pixelSpacing returns mm between rows and between columns, 1 where not stated.
func pixelSpacing(h *dicom.Frame) [2]float64 {
	if len(h.PixelSpacing) == 2 && h.PixelSpacing[0] > 0 && h.PixelSpacing[1] > 0 {
		return [2]float64(h.PixelSpacing)
	}
	return [2]float64{1, 1}
}

// sliceDistance is mm between neighbouring slices as the header states it.
func sliceDistance(h *dicom.Frame) float64 {
	switch {
	case h.SpacingBetweenSlices > 0:
		return h.SpacingBetweenSlices
	case h.SliceThickness > 0:
		return h.SliceThickness
	}
	return 1
}

// unplaced stacks pictures that say nothing of their place: the frames of one
// file, in its order. Several files have no order that could be relied on.
func (s *dicomStack) unplaced(files []*dicomFile, list []dicomSlice) error {
	if len(files) > 1 {
		return fmt.Errorf("%w: %d files that say nothing of their position (ImagePositionPatient), so their order is unknown", ErrUnsupported, len(files))
	}
	spacing, distance := pixelSpacing(list[0].header), sliceDistance(list[0].header)
	s.affine = [3][4]float64{{-spacing[1]}, {0, -spacing[0]}, {0, 0, distance}}
	s.shape[2] = len(list)
	s.volumes, s.what = [][]dicomSlice{list}, "the file"
	fix := "rows are taken to run towards the patient's left, columns towards posterior"
	if len(list) > 1 {
		fix += ", and frames, in the order of the file, towards superior"
	}
	s.note(LevelWarning, fix, "the file says nothing of position or orientation")
	s.noteSpacing(list[0].header)
	return s.checkGrid()
}

func (s *dicomStack) noteSpacing(h *dicom.Frame) {
	if len(h.PixelSpacing) != 2 || !(h.PixelSpacing[0] > 0) || !(h.PixelSpacing[1] > 0) {
		s.note(LevelWarning, "taken as 1 mm; nothing measured in mm can be trusted", "PixelSpacing is missing")
	}
}

// A sliceFrame is the directions and the spacing that all slices share.
type sliceFrame struct {
	row, column, normal [3]float64 // unit vectors: along a row, down a column, row x column
	spacing             [2]float64 // mm between rows, between columns
	distance            float64    // mm between slices as the header states it
}

func newSliceFrame(list []dicomSlice, stack *dicomStack) (frame sliceFrame, err error) {
	first := list[0].header
	frame.row, frame.column = [3]float64(first.Orientation[:3]), [3]float64(first.Orientation[3:])
	if !(math.Abs(dot(frame.row, frame.row)-1) < 0.01) || !(math.Abs(dot(frame.column, frame.column)-1) < 0.01) || !(math.Abs(dot(frame.row, frame.column)) < 0.01) {
		return frame, fmt.Errorf("%w: ImageOrientationPatient %v is not two unit vectors at right angles", ErrHeader, first.Orientation)
	}
	frame.normal = cross(frame.row, frame.column)
	frame.spacing, frame.distance = pixelSpacing(first), sliceDistance(first)
	stack.noteSpacing(first)
	for _, slice := range list {
		spacing := pixelSpacing(slice.header)
		for n := range 6 {
			if !(math.Abs(slice.header.Orientation[n]-first.Orientation[n]) <= sameDirection) {
				return frame, fmt.Errorf("%w: the slices of the series lie in different directions, as in a localiser: %s and %s", ErrUnsupported, list[0], slice)
			}
		}
		if !(math.Abs(spacing[0]/frame.spacing[0]-1) <= 1e-3) || !(math.Abs(spacing[1]/frame.spacing[1]-1) <= 1e-3) {
			return frame, fmt.Errorf("%w: slices of different PixelSpacing in one series: %s and %s", ErrUnsupported, list[0], slice)
		}
	}
	return frame, nil
}

// String names a slice in a message.
func (s dicomSlice) String() string {
	name := filepath.Base(s.file.path)
	switch {
	case s.file.mosaic != nil:
		return fmt.Sprintf("%s, tile %d", name, s.tile+1)
	case len(s.file.header.Frames) > 1:
		return fmt.Sprintf("%s, frame %d", name, s.frame+1)
	}
	return name
}

func dot(a, b [3]float64) float64 {
	return float64(a[0]*b[0]) + float64(a[1]*b[1]) + float64(a[2]*b[2])
}

func cross(a, b [3]float64) [3]float64 {
	return [3]float64{minor(a[1], b[2], a[2], b[1]), minor(a[2], b[0], a[0], b[2]), minor(a[0], b[1], a[1], b[0])}
}

func minus(a, b [3]float64) [3]float64 {
	return [3]float64{a[0] - b[0], a[1] - b[1], a[2] - b[2]}
}

// group sorts slices along the normal and puts those at one place together.
func (f sliceFrame) group(list []dicomSlice) (places [][]dicomSlice) {
	for n := range list {
		list[n].along = dot(list[n].position, f.normal)
	}
	slices.SortStableFunc(list, func(a, b dicomSlice) int { return cmp.Compare(a.along, b.along) })
	for _, slice := range list {
		if last := len(places) - 1; last >= 0 && slice.along-places[last][0].along <= samePlace {
			places[last] = append(places[last], slice)
		} else {
			places = append(places, []dicomSlice{slice})
		}
	}
	return places
}

// place computes the affine from the places and refuses gaps.
func (s *dicomStack) place(f sliceFrame, places [][]dicomSlice) error {
	count := len(places)
	s.shape[2] = count
	first, last := places[0][0], places[count-1][0]
	step := [3]float64{float64(f.normal[0] * f.distance), float64(f.normal[1] * f.distance), float64(f.normal[2] * f.distance)}
	if h := first.header; count == 1 && !(h.SpacingBetweenSlices > 0) && !(h.SliceThickness > 0) {
		s.note(LevelWarning, "the slice is taken to be 1 mm thick", "SliceThickness and SpacingBetweenSlices are missing")
	}
	if count > 1 {
		step = minus(last.position, first.position)
		for n := range step {
			step[n] /= float64(count - 1)
		}
		if err := s.checkSteps(places); err != nil {
			return err
		}
		if err := s.checkLine(f, places, step); err != nil {
			return err
		}
	}
	for n, sign := range [3]float64{-1, -1, 1} { // LPS to RAS
		// Adding 0 turns -0 into 0.
		s.affine[n] = [4]float64{sign*f.row[n]*f.spacing[1] + 0, sign*f.column[n]*f.spacing[0] + 0, sign*step[n] + 0, sign*first.position[n] + 0}
	}
	return s.checkGrid()
}

func (s *dicomStack) checkGrid() error {
	if voxels := float64(s.shape[0]) * float64(s.shape[1]) * float64(s.shape[2]); voxels > maxVoxels {
		return fmt.Errorf("%w: %s voxels; the limit is %d", ErrUnsupported, product(s.shape[:]), maxVoxels)
	}
	return checkAffine(s.affine)
}

// checkSteps refuses missing slices and uneven spacing.
func (s *dicomStack) checkSteps(places [][]dicomSlice) error {
	steps := make([]float64, len(places)-1)
	for n := range steps {
		steps[n] = places[n+1][0].along - places[n][0].along
	}
	sorted := slices.Sorted(slices.Values(steps))
	median := sorted[(len(sorted)-1)/2]
	worst := 0.0
	for n, size := range steps {
		switch between := fmt.Sprintf("between %s and %s", places[n][0], places[n+1][0]); {
		case size > gapSteps*median+samePlace:
			return fmt.Errorf("%w: a gap of %.4g mm %s where slices lie %.4g mm apart: %d missing", ErrTruncated, size, between, median, max(1, int(math.Round(size/median))-1))
		case math.Abs(size-median) > evenSpacing*median+samePlace:
			return fmt.Errorf("%w: uneven spacing: %.4g mm %s, %.4g mm elsewhere; resample the series to even spacing first", ErrUnsupported, size, between, median)
		}
		worst = max(worst, math.Abs(size-median))
	}
	if worst > exactSpacing*median+samePlace {
		s.note(LevelWarning, "the mean was used", "the distance between slices varies by up to %.3g mm around %.4g mm", worst, median)
	}
	if stated := places[0][0].header.SpacingBetweenSlices; stated > 0 && median > gapSteps*stated {
		s.note(LevelWarning, "make sure that no slices are missing", "slices lie %.4g mm apart, SpacingBetweenSlices says %.4g mm", median, stated)
	}
	return nil
}

// checkLine refuses slices that lie beside the line through the first and the
// last, and notes when that line is not the normal.
func (s *dicomStack) checkLine(f sliceFrame, places [][]dicomSlice, step [3]float64) error {
	limit := inPlaneDrift*min(f.spacing[0], f.spacing[1]) + samePlace
	for n, place := range places {
		for _, slice := range place {
			off := minus(slice.position, places[0][0].position)
			for axis := range off {
				off[axis] -= float64(step[axis] * float64(n))
			}
			if beside := math.Hypot(dot(off, f.row), dot(off, f.column)); !(beside <= limit) {
				return fmt.Errorf("%w: slice %s lies %.3g mm beside the line of the others", ErrUnsupported, slice, beside)
			}
		}
	}
	if shift := math.Hypot(dot(step, f.row), dot(step, f.column)); shift > shearNoted*math.Abs(dot(step, f.normal)) {
		s.note(LevelInfo, "the affine holds the shear", "slices are shifted by %.3g mm each along their planes (tilted gantry)", shift)
	}
	return nil
}

// volumeTraits are what may tell volumes at the same places apart, in the order
// in which volumes are numbered.
var volumeTraits = []struct {
	name    string // of several
	text    func(dicomSlice) string
	compare func(a, b dicomSlice) int
	strict  bool // the same at all places of a volume
}{
	{"temporal positions", func(s dicomSlice) string { return fmt.Sprint(s.header.TemporalPosition) },
		func(a, b dicomSlice) int { return cmp.Compare(a.header.TemporalPosition, b.header.TemporalPosition) }, true},
	{"kinds of image", func(s dicomSlice) string { return strings.ReplaceAll(s.header.Kind, `\`, " ") },
		func(a, b dicomSlice) int { return cmp.Compare(a.header.Kind, b.header.Kind) }, true},
	{"echo times (ms)", func(s dicomSlice) string { return fmt.Sprint(s.header.EchoTime) },
		func(a, b dicomSlice) int { return cmp.Compare(a.header.EchoTime, b.header.EchoTime) }, true},
	{"echo numbers", func(s dicomSlice) string { return fmt.Sprint(s.header.EchoNumber) },
		func(a, b dicomSlice) int { return cmp.Compare(a.header.EchoNumber, b.header.EchoNumber) }, true},
	{"b-values", func(s dicomSlice) string { return fmt.Sprint(s.header.BValue) },
		func(a, b dicomSlice) int { return cmp.Compare(a.header.BValue, b.header.BValue) }, true},
	{"acquisitions", func(s dicomSlice) string { return fmt.Sprint(s.header.Acquisition) },
		func(a, b dicomSlice) int { return cmp.Compare(a.header.Acquisition, b.header.Acquisition) }, false},
	{"trigger times (ms)", func(s dicomSlice) string { return fmt.Sprint(s.header.TriggerTime) },
		func(a, b dicomSlice) int { return cmp.Compare(a.header.TriggerTime, b.header.TriggerTime) }, false},
	{"instance numbers", func(s dicomSlice) string { return fmt.Sprint(s.file.header.InstanceNumber) },
		func(a, b dicomSlice) int {
			return cmp.Compare(a.file.header.InstanceNumber, b.file.header.InstanceNumber)
		}, false},
	{"frames", func(s dicomSlice) string { return fmt.Sprint(s.frame + 1) },
		func(a, b dicomSlice) int { return cmp.Compare(a.frame, b.frame) }, false},
}

// separate makes volumes of the places: one, when every place has one slice;
// else the first slices of all places, the second, and so on.
func (s *dicomStack) separate(places [][]dicomSlice) error {
	count := len(places[0])
	for _, place := range places {
		if len(place) != count {
			few, many := places[0], place
			if len(few) > len(many) {
				few, many = many, few
			}
			return fmt.Errorf("%w: %d slices at the place of %s, but %d at that of %s: the series is incomplete or holds slices twice", ErrHeader, len(many), many[0], len(few), few[0])
		}
		slices.SortStableFunc(place, func(a, b dicomSlice) int {
			for _, trait := range volumeTraits {
				if order := trait.compare(a, b); order != 0 {
					return order
				}
			}
			return strings.Compare(a.file.path, b.file.path)
		})
	}
	s.volumes = make([][]dicomSlice, count)
	for n := range s.volumes {
		for _, place := range places {
			s.volumes[n] = append(s.volumes[n], place[n])
		}
	}
	s.what = "the series"
	if count == 1 {
		return nil
	}
	return s.tellApart()
}

// tellApart says by what the volumes differ and refuses when it is not the same
// at all places.
func (s *dicomStack) tellApart() error {
	for _, trait := range volumeTraits {
		var values []string
		for n, volume := range s.volumes {
			if text := trait.text(volume[0]); n == 0 || !slices.Contains(values, text) {
				values = append(values, text)
			}
			for _, slice := range volume {
				if trait.strict && trait.compare(slice, volume[0]) != 0 {
					return fmt.Errorf("%w: %s and %s should belong to one volume but differ in their %s, %s and %s; convert the series with dcm2niix", ErrUnsupported, volume[0], slice, trait.name, trait.text(volume[0]), trait.text(slice))
				}
			}
		}
		if len(values) == len(s.volumes) {
			if len(values) > 6 {
				values = append(values[:5], "...")
			}
			s.what = fmt.Sprintf("the series, with %d %s %s,", len(s.volumes), trait.name, strings.Join(values, ", "))
			return nil
		}
	}
	s.what = fmt.Sprintf("the series, with %d slices at every place,", len(s.volumes))
	return nil
}
