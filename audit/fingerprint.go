package audit

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"ballast/cohort"
	"ballast/stat"
)

// A Fingerprint is what a cohort's images have in common and where they differ.
type Fingerprint struct {
	Subjects     int        `json:"subjects"`
	Images       int        `json:"images"`
	Unreadable   int        `json:"unreadable"`
	Masks        int        `json:"masks"`
	Excluded     int        `json:"rows_left_out"`
	Classes      []Tally    `json:"classes"` // subjects of each class
	Sites        []Tally    `json:"sites"`   // subjects of each site
	Sets         []Tally    `json:"sets"`    // subjects of each set that the table fixes
	Flat         int        `json:"images_2d"`
	Shape        [3]Range   `json:"voxels"`     // along i, j, k
	Spacing      [3]Range   `json:"spacing_mm"` // along i, j, k
	Spacings     []Tally    `json:"spacings"`   // the different ones, commonest first
	Shapes       int        `json:"different_shapes"`
	Orientations []Tally    `json:"orientations"`
	Encodings    []Tally    `json:"encodings"`
	Intensity    Range      `json:"mean_intensity"` // of the images' foregrounds
	Extremes     [2]float64 `json:"extremes"`       // darkest and brightest voxel of all
	NonFinite    int        `json:"images_with_non_finite_voxels"`
	PerSubject   Range      `json:"images_per_subject"`
}

// A Tally is how often something occurs.
type Tally struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// A Range is the least, the middle and the largest of some numbers.
type Range struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

func rangeOf(values []float64) Range {
	if len(values) == 0 {
		return Range{}
	}
	return Range{slices.Min(values), stat.Quantile(values, 0.5), slices.Max(values)}
}

// String writes a range as "54 to 241", or one number when there is but one.
func (r Range) String() string {
	if compact(r.Min) == compact(r.Max) {
		return compact(r.Min)
	}
	return compact(r.Min) + " to " + compact(r.Max)
}

// tally counts words, the commonest first.
func tally(words []string) []Tally {
	counts := map[string]int{}
	for _, w := range words {
		if w != "" {
			counts[w]++
		}
	}
	list := []Tally{}
	for w, n := range counts {
		list = append(list, Tally{w, n})
	}
	slices.SortFunc(list, func(a, b Tally) int { return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Name, b.Name)) })
	return list
}

func (s *study) fingerprint() Fingerprint {
	f := Fingerprint{Subjects: len(s.cohort.Subjects), Images: len(s.images), Excluded: len(s.cohort.Excluded)}
	var sites, sets, spacings, shapes, directions, encodings []string
	var perSubject, means []float64
	counts := make([]int, len(s.cohort.Classes))
	for _, subject := range s.cohort.Subjects {
		sites, sets = append(sites, subject.Site), append(sets, subject.Set)
		counts[subject.Class]++
		perSubject = append(perSubject, float64(len(subject.Images)))
	}
	for class, name := range s.cohort.Classes {
		f.Classes = append(f.Classes, Tally{name, counts[class]})
	}
	var shape, spacing [3][]float64
	f.Extremes = [2]float64{math.Inf(1), math.Inf(-1)}
	for n := range s.images {
		i := &s.images[n]
		if !i.readable() {
			f.Unreadable++
			continue
		}
		f.Masks += indicator(i.Mask != nil)
		f.Flat += indicator(i.flat())
		f.NonFinite += indicator(i.NonFinite > 0)
		for axis := range 3 {
			shape[axis] = append(shape[axis], float64(i.Shape[axis]))
			spacing[axis] = append(spacing[axis], i.Spacing[axis])
		}
		spacings, shapes = append(spacings, spacingText(i.Spacing)), append(shapes, fmt.Sprint(i.Shape))
		directions, encodings = append(directions, i.Direction), append(encodings, i.Encoding)
		means = append(means, i.Mean)
		f.Extremes = [2]float64{min(f.Extremes[0], i.Min), max(f.Extremes[1], i.Max)}
	}
	for axis := range 3 {
		f.Shape[axis], f.Spacing[axis] = rangeOf(shape[axis]), rangeOf(spacing[axis])
	}
	f.Sites, f.Sets, f.Spacings, f.Shapes = tally(sites), tally(sets), tally(spacings), len(tally(shapes))
	if f.Images == f.Unreadable {
		f.Extremes = [2]float64{}
	}
	f.Orientations, f.Encodings = tally(directions), tally(encodings)
	f.Intensity, f.PerSubject = rangeOf(means), rangeOf(perSubject)
	return f
}

// spacingText writes a spacing with three digits: "0.977 x 0.977 x 3.27".
func spacingText(spacing [3]float64) string {
	return fmt.Sprintf("%.3g x %.3g x %.3g", spacing[0], spacing[1], spacing[2])
}

// checkPresent says when there is nothing to look at but the table.
func checkPresent(s *study, _ *Report) []Finding {
	if len(s.images) > 0 {
		return nil
	}
	return []Finding{{
		ID: "no-images", Level: Error,
		Problem: "the table names no images; only the table itself was checked",
		Fix:     "name the column of the image files with --path COLUMN, or add one: nothing can be trained without",
	}}
}

// checkReadable reports images that cannot be used and voxels that are no numbers.
func checkReadable(s *study, _ *Report) []Finding {
	kinds := []struct {
		id, what, fix string
		is            func(*ImageFacts) bool
	}{
		{"constant-image", "have the same value everywhere", "remove these rows or export the images again: there is nothing to learn from them",
			func(i *ImageFacts) bool { return i.is(cohort.ErrConstant) }},
		{"non-finite-image", "consist mostly of NaN or infinite voxels", "export the images again, with 0 where there is no measurement",
			func(i *ImageFacts) bool { return i.is(cohort.ErrNonFinite) }},
		{"unreadable-image", "cannot be read", "repair or remove the files; training stops at the first of them",
			func(i *ImageFacts) bool { return !i.readable() }},
	}
	taken := make([]bool, len(s.images))
	var findings []Finding
	for _, kind := range kinds {
		f := Finding{ID: kind.id, Level: Error, Fix: kind.fix}
		var lines []string
		for n := range s.images {
			if i := &s.images[n]; !taken[n] && kind.is(i) {
				taken[n] = true
				f.Subjects, f.Files = append(f.Subjects, i.Subject), append(f.Files, i.Path)
				lines = append(lines, i.Error)
			}
		}
		if len(lines) > 0 {
			f.Problem = fmt.Sprintf("%s of %d %s: %s", plural(len(lines), "image"), len(s.images), kind.what, someOf(lines, "; "))
			findings = append(findings, f)
		}
	}
	return append(findings, s.checkNonFinite()...)
}

func (s *study) checkNonFinite() []Finding {
	f := Finding{ID: "non-finite-voxels", Level: Warning, Fix: "they count as the image's lowest value; export the images with 0 where there is no measurement"}
	for n := range s.images {
		if i := &s.images[n]; i.readable() && i.NonFinite > 0 {
			f.Subjects, f.Files = append(f.Subjects, i.Subject), append(f.Files, i.Path)
		}
	}
	if len(f.Files) == 0 {
		return nil
	}
	f.Problem = plural(len(f.Files), "image") + " with NaN or infinite voxels: " + some(f.Files)
	return []Finding{f}
}

// checkMasks reports masks that cannot be used, and images without one where
// others have one.
func checkMasks(s *study, r *Report) []Finding {
	bad := map[string]*Finding{}
	note := func(id string, level Level, fix string, i *ImageFacts) {
		if bad[id] == nil {
			bad[id] = &Finding{ID: id, Level: level, Fix: fix}
		}
		bad[id].Subjects, bad[id].Files = append(bad[id].Subjects, i.Subject), append(bad[id].Files, i.Mask.Path)
	}
	for n := range s.images {
		i := &s.images[n]
		switch {
		case i.Mask == nil:
		case i.Mask.is(cohort.ErrEmptyMask):
			note("empty-mask", Error, "draw the masks, or empty their cells in the table", i)
		case i.Mask.is(cohort.ErrGeometry):
			note("mask-off-grid", Error, "resample the masks onto their images (nearest neighbour), or export both from one program", i)
		case i.Mask.problem != nil:
			note("unreadable-mask", Error, "repair the files, or empty their cells in the table", i)
		case i.Mask.Share > 0.9:
			note("mask-fills-image", Warning, "check that 0 is outside and 1 inside", i)
		}
	}
	words := []struct{ id, what string }{
		{"empty-mask", "without a voxel above 0"},
		{"mask-off-grid", "not on the grid of their images"},
		{"unreadable-mask", "that cannot be read"},
		{"mask-fills-image", "that cover more than 90 % of the image"},
	}
	var findings []Finding
	for _, w := range words {
		if f := bad[w.id]; f != nil {
			f.Problem = plural(len(f.Files), "mask") + " " + w.what + ": " + some(f.Files)
			findings = append(findings, *f)
		}
	}
	if p := r.Print; p.Masks > 0 && p.Masks+p.Unreadable < p.Images {
		findings = append(findings, Finding{
			ID: "masks-missing", Level: Note,
			Problem: fmt.Sprintf("%d of %d images have no mask", p.Images-p.Unreadable-p.Masks, p.Images-p.Unreadable),
			Fix:     "complete the masks, or none is used: images are then cropped to the foreground",
		})
	}
	return findings
}

// checkGeometry reports images of different kinds.
func checkGeometry(_ *study, r *Report) []Finding {
	var findings []Finding
	p := r.Print
	readable := p.Images - p.Unreadable
	if p.Flat > 0 && p.Flat < readable {
		findings = append(findings, Finding{
			ID: "mixed-dimensions", Level: Error,
			Problem: fmt.Sprintf("%d images are 2D and %d are 3D", p.Flat, readable-p.Flat),
			Fix:     "give each kind its own table",
		})
	}
	if ratio := largestRatio(p.Spacing); ratio > 1.5 && p.Flat == 0 {
		findings = append(findings, Finding{
			ID: "mixed-spacing", Level: Warning,
			Problem: fmt.Sprintf("voxels of one image are %.2g times as long as those of another along the same axis: %s mm", ratio, tallies(p.Spacings)),
			Fix:     "images are resampled to one spacing, but coarse ones stay blurred: check that blur does not go with the label (shortcuts, below)",
		})
	}
	if len(p.Orientations) > 1 {
		findings = append(findings, Finding{
			ID: "mixed-orientation", Level: Note,
			Problem: "voxel axes run differently: " + tallies(p.Orientations),
			Fix:     "nothing to do for 3D images, which are turned to RAS+; of 2D slices in several planes, consider one table per plane",
		})
	}
	if p.Flat == 0 && len(p.Spacings) == 1 && p.Spacings[0].Name == "1 x 1 x 1" && p.Shapes > 1 {
		findings = append(findings, Finding{
			ID: "spacing-unknown", Level: Note,
			Problem: "all voxels are said to be 1 x 1 x 1 mm although the shapes differ",
			Fix:     "make sure that the conversion kept the spacing",
		})
	}
	return findings
}

func largestRatio(ranges [3]Range) float64 {
	worst := 1.0
	for _, r := range ranges {
		if r.Min > 0 {
			worst = max(worst, r.Max/r.Min)
		}
	}
	return worst
}

// tallies writes "LPS (50), RAS (1)", and "LPS" when there is nothing else; the
// commonest four and the number of the others.
func tallies(list []Tally) string {
	if len(list) == 1 {
		return list[0].Name
	}
	var parts []string
	for n, t := range list {
		if n == 4 && len(list) > 5 {
			parts = append(parts, fmt.Sprintf("%d others", len(list)-n))
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%d)", t.Name, t.Count))
	}
	return strings.Join(parts, ", ")
}

// checkRows says how many rows were left out.
func checkRows(s *study, _ *Report) []Finding {
	if len(s.cohort.Excluded) == 0 {
		return nil
	}
	return []Finding{{
		ID: "rows-left-out", Level: Note,
		Problem: plural(len(s.cohort.Excluded), "row") + " of the table left out: " + someOf(s.cohort.Excluded, "; "),
		Fix:     "complete the table if these subjects belong to the study",
	}}
}
