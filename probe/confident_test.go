package probe

import (
	"math"
	"slices"
	"testing"

	"ballast/stat"
)

// TestConfidentJoint is a small table that cleanlab 2.9.0 was given as well:
// compute_confident_joint(calibrate=False) counts [[4 1 0] [1 3 0] [0 1 3]] and
// find_label_issues(filter_by="confident_learning") names subjects 3, 8 and 13.
func TestConfidentJoint(t *testing.T) {
	labels := []int{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2}
	p := predictions{
		{.9, .05, .05}, {.8, .1, .1}, {.7, .2, .1}, {.2, .7, .1}, {.35, .3, .35}, {.6, .1, .3},
		{.1, .8, .1}, {.2, .6, .2}, {.75, .15, .1}, {.05, .9, .05}, {.3, .4, .3},
		{.1, .1, .8}, {.15, .25, .6}, {.1, .75, .15}, {.2, .1, .7},
	}
	var counts [3][3]int
	var issues []int
	for i, found := range p.disputed(labels, all(len(labels))) {
		if found < 0 {
			continue
		}
		counts[labels[i]][found]++
		if found != labels[i] {
			issues = append(issues, i)
		}
	}
	if want := [3][3]int{{4, 1, 0}, {1, 3, 0}, {0, 1, 3}}; counts != want {
		t.Errorf("the confident joint is %v, cleanlab's %v", counts, want)
	}
	if want := []int{3, 8, 13}; !slices.Equal(issues, want) {
		t.Errorf("subjects %v, cleanlab names %v", issues, want)
	}
	// Each row counted as often as its label is borne: 6 x 1/5 + 5 x 1/4 + 4 x 1/4 of
	// 15 (cleanlab rounds the rows to whole subjects first).
	if got, want := p.estimate(labels, all(len(labels))), (6*0.2+5*0.25+4*0.25)/15; !(math.Abs(got-want) <= 1e-12) {
		t.Errorf("estimate %g, want %g", got, want)
	}
	values := p.summary(labels)
	// Margins in falling order: 9 .85, 0 .85, 1 .7, 6 .7, 11 .7; none of them is wrong.
	if values["confident"] != 5 || values["confident_wrong"] != 0 || values["suspects"] != 3 || math.Abs(float64(values["wrong"])-3.0/15) > 1e-12 {
		t.Errorf("%v", values)
	}
}

func TestConfidentWrong(t *testing.T) {
	var labels []int
	var p predictions
	for i := range 30 {
		labels = append(labels, i%2)
		sure := 0.5 + float64(i)/100
		row := prediction{sure, 1 - sure}
		if i%2 == 1 {
			row = prediction{1 - sure, sure}
		}
		if i == 29 || i == 28 || i == 27 || i == 3 { // wrong labels: three where the network is surest
			row[0], row[1] = row[1], row[0]
		}
		p = append(p, row)
	}
	values := p.summary(labels)
	if values["confident"] != 10 || values["confident_wrong"] != 3 || values["confident_wrong_least"] != 1 || math.Abs(float64(values["wrong"])-4.0/30) > 1e-12 {
		t.Errorf("%v", values)
	}
}

// TestCleanTask holds the simulated task against the binormal model: two classes are
// told apart with probability Φ(d/√2).
func TestCleanTask(t *testing.T) {
	for _, right := range []float64{0.6, 0.75, 0.9} {
		task := newCleanTask(right, 2, 1)
		if got := stat.NormalCDF(task.d / math.Sqrt2); !(math.Abs(got-right) <= 0.01) {
			t.Errorf("d = %.3f, at which %.3f are right, want %.2f", task.d, got, right)
		}
	}
}
