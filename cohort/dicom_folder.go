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
	reports := 0
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		if !isCandidate(entry) || !startsAsDICOM(path) {
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
		return nil, noSeries(folder, entries, reports)
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
func noSeries(folder string, entries []fs.DirEntry, reports int) error {
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
