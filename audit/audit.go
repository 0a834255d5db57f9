// Package audit examines a cohort before anything is trained on it: what its
// images are, which of them are the same, whether the label can be read off the
// scanner, how much a validation set of its size can show, and which plan fits.
//
// Images are read once, one per thread at a time; what stays in memory is about
// 35 kB per volume and 6 kB per slice. The same cohort and seed give the same report.
package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"ballast/cohort"
)

// Format is the version of the report, the JSON key "format".
const Format = 1

// ErrNothingReadable is returned by Check when not one image can be read.
var ErrNothingReadable = errors.New("no image of the cohort can be read")

// Options says how to check. The zero value is usable.
type Options struct {
	Threads      int                  // images read and facts tested at once; 0: 1
	Seed         uint64               // of the permutations and of the split
	Split        *cohort.SplitOptions // how to divide the subjects; nil: as proposed
	Permutations int                  // at most so many per shortcut test; 0: enough for the number of facts
	Pictures     bool                 // draw the pairs that are alike (Report.Pictures)
	Measured     func()               // called after each image, from several goroutines; may be nil
}

// A Report is what Check found. Findings come worst first.
type Report struct {
	Format     int          `json:"format"`
	Cohort     string       `json:"cohort"`
	Findings   []Finding    `json:"findings"`
	Print      Fingerprint  `json:"fingerprint"`
	Pairs      []Pair       `json:"pairs"` // equal or nearly equal images
	Alike      []Pair       `json:"alike"` // the most similar of the other pairs of different subjects
	Facts      []Fact       `json:"facts"`
	Sets       []Fact       `json:"sets"` // the same facts tested for telling the fixed sets apart
	Intensity  []Intensity  `json:"intensities"`
	Resolution Resolution   `json:"resolution"`
	Proposal   []Choice     `json:"proposal"`
	Notes      []string     `json:"notes"` // what cohort.Open noted
	Images     []ImageFacts `json:"images"`

	Pictures map[string]*Picture `json:"-"` // by ImageFacts.Path, of the pairs that Shown returns
}

// Check examines every image of a cohort; of a table without images (read by
// cohort.OpenTable) it examines what the table says. Only a cancelled context or a cohort
// of which nothing can be read (ErrNothingReadable) is an error; what is wrong
// with single images or with the cohort is a Finding.
func Check(ctx context.Context, c *cohort.Cohort, o Options) (*Report, error) {
	images, err := measureAll(ctx, c, o)
	if err != nil {
		return nil, err
	}
	r := &Report{Format: Format, Cohort: cmp.Or(c.Table, c.Dir), Notes: c.Notes, Images: images}
	if len(images) > 0 && !slices.ContainsFunc(images, func(i ImageFacts) bool { return i.readable() }) {
		return nil, fmt.Errorf("check cohort %s: %w; the first says: %s", r.Cohort, ErrNothingReadable, images[0].Error)
	}
	s := &study{cohort: c, images: images, options: o}
	r.Print = s.fingerprint()
	if r.Pairs, r.Alike, err = s.pairs(ctx); err != nil {
		return nil, err
	}
	if r.Facts, r.Sets, err = s.testFacts(ctx); err != nil {
		return nil, err
	}
	if o.Pictures {
		if r.Pictures, err = s.picture(ctx, r); err != nil {
			return nil, err
		}
	}
	r.Intensity = s.intensities()
	r.Proposal, r.Resolution = s.propose()
	for _, check := range checks {
		r.Findings = append(r.Findings, check(s, r)...)
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(b.Level, a.Level) })
	return r, nil
}

// Checks, one file each. A check is given what was measured and returns what is
// wrong, nothing when nothing is.
var checks = []func(*study, *Report) []Finding{
	checkPresent,
	checkReadable,
	checkMasks,
	checkSequences,
	checkOverlap,
	checkDuplicates,
	checkShortcuts,
	checkSets,
	checkBalance,
	checkGeometry,
	checkIntensity,
	checkResolution,
	checkRows,
}

// A study is a cohort with what was measured of its images, which are in the
// order of the subjects and, within a subject, of its images.
type study struct {
	cohort  *cohort.Cohort
	images  []ImageFacts
	options Options
}

// bySubject returns the readable images of every subject.
func (s *study) bySubject() [][]*ImageFacts {
	lists := make([][]*ImageFacts, len(s.cohort.Subjects))
	for n := range s.images {
		if image := &s.images[n]; image.readable() {
			lists[image.subject] = append(lists[image.subject], image)
		}
	}
	return lists
}

// class is the name of a subject's class.
func (s *study) class(subject int) string { return s.cohort.Classes[s.cohort.Subjects[subject].Class] }

// name is the path of an image as short as it is clear: relative to the cohort.
func (s *study) name(path string) string {
	if relative, err := filepath.Rel(s.cohort.Dir, path); err == nil && filepath.IsLocal(relative) {
		return filepath.ToSlash(relative)
	}
	return path
}
