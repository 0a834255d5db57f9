package cohort

import (
	"fmt"
	"slices"

	"ballast/cohort/dicom"
)

// note adds what is unusual about the series.
func (s *dicomStack) note(level, fix, problem string, values ...any) {
	s.notes = append(s.notes, Note{level, fmt.Sprintf(problem, values...), fix})
}

// noteHeader adds what the header says of the values.
func (s *dicomSeries) noteHeader() {
	header := s.files[0].header
	if header.Photometric == "MONOCHROME1" {
		s.note(LevelWarning, "the values were left as they are; mixed with MONOCHROME2 images they would look inverted", "the lowest value is meant to be shown white (MONOCHROME1)")
	}
	if header.Lossy {
		s.note(LevelInfo, "read as it is", "the image was compressed with loss")
	}
	if slices.ContainsFunc(s.files, func(file *dicomFile) bool { return file.mosaic != nil }) {
		s.note(LevelInfo, "its tiles were taken apart into slices", "a Siemens mosaic")
	}
	if slopes := s.slopes(); slopes > 1 {
		s.note(LevelInfo, "each slice was scaled by its own", "%d different pairs of RescaleSlope and RescaleIntercept", slopes)
	}
}

func (s *dicomSeries) slopes() int {
	seen := map[[2]float64]bool{}
	for _, volume := range s.volumes {
		for _, slice := range volume {
			seen[[2]float64{slice.slope, slice.intercept}] = true
		}
	}
	return len(seen)
}

// describe describes one volume or all of the series.
func (s *dicomSeries) describe(index int) (*Description, error) {
	d, first, behind, err := s.summary(index)
	if err != nil {
		return nil, err
	}
	var m moments
	wide := make([]float64, 0, s.shape[0]*s.shape[1])
	for volume := first; volume < behind; volume++ {
		for _, slice := range s.volumes[volume] {
			stored, err := s.stored(slice)
			if err != nil {
				return nil, err
			}
			wide = wide[:0]
			for _, x := range stored {
				wide = append(wide, float64(float64(x)*slice.slope)+slice.intercept)
			}
			m.add(wide)
		}
	}
	m.fill(d)
	return d, nil
}

func (s *dicomSeries) readDescribed(index int) (*Volume, *Description, error) {
	v, err := s.read(index)
	if err != nil {
		return nil, nil, err
	}
	d, _, _, err := s.summary(index)
	return v, d, err
}

// summary describes the series without its values, and says which volumes it
// speaks of.
func (s *dicomSeries) summary(index int) (d *Description, first, behind int, err error) {
	header := s.files[0].header
	slice := s.volumes[0][0]
	d = &Description{
		Format: "DICOM, " + dicom.SyntaxName(header.TransferSyntax), ByteOrder: "little",
		Dtype: fmt.Sprintf("uint%d", header.BitsAllocated), Shape: slices.Clone(s.shape[:]),
		Scaling: Scaling{slice.slope, slice.intercept}, Volumes: len(s.volumes), Notes: slices.Clone(s.notes),
	}
	if header.Signed {
		d.Dtype = d.Dtype[1:]
	}
	if header.TransferSyntax == dicom.ExplicitBigEndian {
		d.ByteOrder = "big"
	}
	if len(s.files) > 1 {
		d.Format += fmt.Sprintf(", %d files", len(s.files))
	}
	if header.BitsStored != header.BitsAllocated {
		d.note(LevelInfo, "the other bits were left out", "%d of %d bits are used", header.BitsStored, header.BitsAllocated)
	}
	d.locate(s.affine)
	behind = len(s.volumes)
	if behind > 1 {
		d.Shape = append(d.Shape, behind)
	}
	if index >= 0 {
		if first, err = chooseVolume(s.what, len(s.volumes), index); err != nil {
			return nil, 0, 0, err
		}
		behind = first + 1
		if len(s.volumes) > 1 {
			d.choose(first)
		}
	}
	return d, first, behind, nil
}
