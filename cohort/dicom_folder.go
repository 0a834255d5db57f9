package cohort

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ballast/cohort/dicom"
)

// maxSlices is the largest number of files of a folder that is looked at.
const maxSlices = 1 << 16

// isCandidate leaves out what is never a slice: folders, hidden files and the
// index of a disc.
func isCandidate(entry fs.DirEntry) bool {
	return !entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") && !strings.EqualFold(entry.Name(), "DICOMDIR")
}

// A dicomGroup is the files of a folder that share a SeriesInstanceUID.
type dicomGroup struct {
	uid, description string
	number           int
	unique           bool         // no other series of the folder has the number
	files            []*dicomFile // with pictures
}

// openFolder takes the files of one series. chosen is its SeriesNumber or
// SeriesInstanceUID; empty is enough when only one series holds images.
func (s *dicomSeries) openFolder(folder, chosen string) error {
	groups, err := readSeries(folder)
	if err != nil {
		return err
	}
	group, err := chooseSeries(groups, folder, chosen)
	if err != nil {
		return err
	}
	for _, other := range groups {
		if chosen == "" && other != group {
			s.note(LevelInfo, "left out", "the folder also holds %s", other)
		}
	}
	for _, file := range group.files {
		if file.err != nil {
			return inFile(file.path, file.err)
		}
	}
	s.files, err = s.dropCopies(group.files)
	return err
}

// readSeries reads the headers of a folder's DICOM files and groups those that
// hold pictures by series, in the order of their numbers.
func readSeries(folder string) ([]*dicomGroup, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	byUID := map[string]*dicomGroup{}
	var groups []*dicomGroup
	others, reports := 0, 0
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		if !isCandidate(entry) || !startsAsDICOM(path) {
			others++
			continue
		}
		file, err := parseDICOM(path)
		if err != nil {
			return nil, inFile(path, err)
		}
		if !file.header.HasPixels {
			reports++
			continue
		}
		file.header.Release()
		header := file.header
		group := byUID[header.SeriesUID]
		if group == nil {
			group = &dicomGroup{uid: header.SeriesUID, description: header.SeriesDescription, number: header.SeriesNumber}
			byUID[header.SeriesUID] = group
			groups = append(groups, group)
		}
		if group.files = append(group.files, file); len(group.files) > maxSlices {
			return nil, fmt.Errorf("%w: more than %d files in one series", ErrUnsupported, maxSlices)
		}
	}
	if len(groups) == 0 {
		return nil, noSeries(folder, entries, others, reports)
	}
	slices.SortStableFunc(groups, func(a, b *dicomGroup) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.uid, b.uid))
	})
	for n, group := range groups {
		group.unique = (n == 0 || groups[n-1].number != group.number) && (n+1 == len(groups) || groups[n+1].number != group.number)
	}
	return groups, nil
}

// noSeries says what a folder without DICOM images holds instead.
func noSeries(folder string, entries []fs.DirEntry, others, reports int) error {
	for _, entry := range entries {
		if entry.IsDir() && IsDICOMFolder(filepath.Join(folder, entry.Name())) {
			return fmt.Errorf("%w: it is a folder without DICOM images; its subfolder %s holds some, so name that", ErrFormat, entry.Name())
		}
	}
	if reports > 0 {
		return fmt.Errorf("%w: it is a folder of DICOM files without pictures", ErrFormat)
	}
	return fmt.Errorf("%w: it is a folder without DICOM files", ErrFormat)
}

// hasImages is false for series whose every picture is of a kind that no image
// of MR or CT has, such as screenshots in colour.
func (g *dicomGroup) hasImages() bool {
	return slices.ContainsFunc(g.files, func(file *dicomFile) bool {
		return file.err == nil || !errors.Is(file.err, ErrUnsupported)
	})
}

// String names the series in a list to choose from. Its description is what the
// operator called the sequence; nothing that names the patient is shown.
func (g *dicomGroup) String() string {
	text := "series " + g.handle()
	if g.description != "" {
		text += fmt.Sprintf(" %q", g.description)
	}
	if len(g.files) == 1 {
		return text + " (1 file)"
	}
	return fmt.Sprintf("%s (%d files)", text, len(g.files))
}

// handle is what chooses the series behind a folder's #.
func (g *dicomGroup) handle() string {
	if g.unique || g.uid == "" {
		return strconv.Itoa(g.number)
	}
	return g.uid
}

func chooseSeries(groups []*dicomGroup, folder, chosen string) (*dicomGroup, error) {
	var fitting []*dicomGroup
	for _, group := range groups {
		number, err := strconv.Atoi(chosen)
		switch {
		case chosen == "" && group.hasImages(), chosen != "" && group.uid == chosen, chosen != "" && err == nil && group.number == number:
			fitting = append(fitting, group)
		}
	}
	if len(fitting) == 1 {
		return fitting[0], nil
	}
	switch {
	case chosen == "" && len(fitting) > 1:
		return nil, fmt.Errorf("%w: the folder holds %d series: %s; choose one by its number or SeriesInstanceUID, as in %s#%s", ErrVolumes, len(fitting), listSeries(groups), filepath.Base(folder), fitting[0].handle())
	case chosen == "":
		return groups[0], nil // none can be read; its error says why
	case len(fitting) > 1:
		return nil, fmt.Errorf("%w: %d series have the number %s; choose one by its SeriesInstanceUID: %s", ErrVolumes, len(fitting), chosen, listSeries(fitting))
	}
	return nil, fmt.Errorf("%w: no series %s in the folder, which holds %s", ErrVolumes, chosen, listSeries(groups))
}

// maxListed bounds the series in one message.
const maxListed = 12

func listSeries(groups []*dicomGroup) string {
	var names []string
	for _, group := range groups[:min(len(groups), maxListed)] {
		names = append(names, group.String())
	}
	if more := len(groups) - maxListed; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// dropCopies leaves out files that repeat another: one SOPInstanceUID, the same
// pixels. Two different pictures under one UID are refused.
func (s *dicomSeries) dropCopies(files []*dicomFile) (kept []*dicomFile, err error) {
	first := map[string]*dicomFile{}
	dropped := 0
	for _, file := range files {
		uid := file.header.SOPInstance
		earlier := first[uid]
		switch {
		case uid == "" || earlier == nil:
			first[uid] = file
			kept = append(kept, file)
		case earlier.digest != file.digest:
			return nil, fmt.Errorf("%w: %s and %s have the same SOPInstanceUID but different pixel data", ErrHeader, filepath.Base(earlier.path), filepath.Base(file.path))
		default:
			dropped++
		}
	}
	if dropped > 0 {
		s.note(LevelWarning, "each slice was read once", "%d files are copies of others", dropped)
	}
	return kept, nil
}

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
