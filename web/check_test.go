package web

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"ballast/audit"
)

// sampleCheck is a report with everything in it.
func sampleCheck() *audit.Report {
	r := &audit.Report{
		Cohort: "studies/heads/participants.tsv",
		Findings: []audit.Finding{
			{ID: "duplicate", Level: audit.Error, Problem: "1 pair of images of <different> subjects", Fix: "find out whose it is"},
			{ID: "site-shortcut", Level: audit.Warning, Problem: "the site tells the label with 98 %.", Fix: "stratify"},
			{ID: "rows-left-out", Level: audit.Note, Problem: "2 rows", Fix: "complete the table"},
		},
		Print: audit.Fingerprint{
			Subjects: 30, Images: 30, Classes: []audit.Tally{{Name: "responder", Count: 12}, {Name: "non-responder", Count: 18}},
			Sites: []audit.Tally{{Name: "north", Count: 20}, {Name: "south", Count: 10}}, Spacings: []audit.Tally{{Name: "1 x 1 x 3", Count: 29}, {Name: "1 x 1 x 5", Count: 1}},
		},
		Facts: []audit.Fact{
			{Name: "site", Kind: audit.Acquisition, Area: 0.97, P: 0.0002, Corrected: 0.0004, Values: []audit.Value{{Name: "north", Counts: []int{1, 18}}, {Name: "south", Counts: []int{11, 0}}}},
			{Name: "mean intensity", Kind: audit.Brightness, Numeric: true, Area: 0.48, P: 1, Corrected: 1, Centre: []float64{100, 120}},
		},
		Resolution: audit.Resolution{
			Validation: 8, Accuracy: 0.7, Low: 0.35, High: 0.91, Visible: 0.75, Sentences: []string{"With 8 validation subjects ..."},
			Needed: []audit.Needed{{Points: 5, Subjects: 657}},
			Curve:  []audit.ResolutionAt{{Subjects: 5, Low: 0.3, High: 0.95, Visible: 1}, {Subjects: 10, Low: 0.4, High: 0.9, Visible: 0.6}, {Subjects: 1300, Low: 0.68, High: 0.72, Visible: 0.005}},
		},
		Proposal: []audit.Choice{{Key: "prep.grid", Value: "[32, 48, 48]", Reason: "voxels along D, H, W"}},
		Notes:    []string{"a note of the reader"},
		Pictures: map[string]*audit.Picture{},
	}
	r.Sets = r.Facts
	for n := range 30 {
		path := fmt.Sprintf("images/with-a-rather-long-name-%02d.nii.gz", n)
		r.Images = append(r.Images, audit.ImageFacts{Path: path, Subject: fmt.Sprintf("sub-%02d", n), Class: n % 2, Shape: [3]int{100 + n, 120, 30}, Spacing: [3]float64{1, 1, float64(3 + n%2)}})
		r.Pictures[path] = &audit.Picture{Width: 4, Height: 4, Grey: make([]uint8, 16)}
	}
	pair := func(a, b int, exact bool) audit.Pair {
		return audit.Pair{A: a, B: b, Exact: exact, Similarity: 0.9, Distance: 12, Flip: []string{"left-right"},
			Files: [2]string{r.Images[a].Path, r.Images[b].Path}, Subjects: [2]string{r.Images[a].Subject, r.Images[b].Subject}}
	}
	r.Pairs, r.Alike = []audit.Pair{pair(0, 1, true), pair(2, 3, false)}, []audit.Pair{pair(4, 5, false)}
	delete(r.Pictures, r.Images[5].Path)
	for _, group := range [][2]string{{"class", "responder"}, {"class", "non-responder"}, {"site", "north"}, {"site", "south"}} {
		r.Intensity = append(r.Intensity, audit.Intensity{Group: group[0], Name: group[1], Subjects: 15, Mean: 500, Deviation: 20,
			Quantiles: []float64{1, 2, 3, 4, 5}, Low: 0, High: 1000, Histogram: []float64{0.1, 0.4, 0.3, 0.2}})
	}
	return r
}

func checkHTML(t *testing.T, r *audit.Report) string {
	t.Helper()
	var page bytes.Buffer
	if err := Check(&page, r); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

func TestCheckPage(t *testing.T) {
	page := checkHTML(t, sampleCheck())
	for _, want := range []string{
		"Before training: heads", "&lt;different&gt;", "30 subjects, 30 images, 2 classes", "data:image/png;base64,", "no picture",
		"Compared with one mirrored left-right.", "Equal voxels.", "Similarity 0.90, 12 hash bits differ.", "north: 1 × responder, 18 × non-responder", "657", "yours: 8", "a note of the reader",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "..</p>") {
		t.Error("a sentence ends with two full stops")
	}
	if again := checkHTML(t, sampleCheck()); again != page {
		t.Error("the same report gives another page")
	}
	if err := wellFormed(page); err != nil {
		t.Error(err)
	}
}

// A report of a table alone has no drawings of images.
func TestCheckPageOfTable(t *testing.T) {
	r := sampleCheck()
	r.Images, r.Pairs, r.Alike, r.Intensity = nil, nil, nil, nil
	page := checkHTML(t, r)
	if err := wellFormed(page); err != nil {
		t.Error(err)
	}
	if strings.Contains(page, "Spacing.") || !strings.Contains(page, "resolution-title") {
		t.Error("drawings of images that are not there, or none of the resolution")
	}
}

func TestGather(t *testing.T) {
	marks := gather([]mark{{"g0", 1, 3, 9, "a", 0}, {"g0", 1.0001, 3, 9, "b", 0}, {"g1", 1, 3, 9, "c", 0}, {"g0", 2, 3, 9, "d", 0}})
	if len(marks) != 3 || marks[0].size <= 9 || marks[0].text != "a and 1 image more" {
		t.Errorf("%+v", marks)
	}
	if marks[1].class != "g1" || marks[1].beside == 0 {
		t.Errorf("the other class lies on the first: %+v", marks[1])
	}
	if spreadOut(marks[:2]) != (significant(marks[0].x) != significant(marks[1].x)) {
		t.Error("one place is no spread")
	}
}

func TestCheckBrowser(t *testing.T) { lookAt(t, checkHTML(t, sampleCheck())) }
