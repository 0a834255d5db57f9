package web

import (
	"math"
	"slices"
	"strings"
	"testing"

	"ballast/diagnosis"
	"ballast/run"
	"ballast/stat"
)

func TestNumbers(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct{ got, want string }{
		{decimal(-0.04, 1), "0.0"},
		{decimal(-2.36, 1), "−2.4"},
		{decimal(nan, 1), "–"},
		{decimal(math.Inf(-1), 1), "–"},
		{percent(0.616), "62 %"},
		{percent(-0.08), "−8 %"},
		{percent(-0.001), "0 %"},
		{percent(nan), "– %"},
		{significant(0.00012345), "0.000123"},
		{significant(-1.5e-7), "−1.5e-07"},
		{significant(0.03456), "0.035"},
		{significant(1.2345), "1.23"},
		{significant(12.345), "12.3"},
		{significant(1234.5), "1234"},
		{significant(1e7), "1e+07"},
		{significant(0), "0.000"},
		{significant(nan), "–"},
		{rangeOf(diagnosis.Ratio, -0.301, 0.12), "−30 to 12"},
		{rangeOf(diagnosis.Points, diagnosis.Number(nan), 1), ""},
		{plural(1, "epoch"), "1 epoch"},
		{plural(0, "epoch"), "0 epochs"},
		{shorten("sub-00000000000001", 15), "sub-0000000000…"},
		{shorten("ünïcödé", 7), "ünïcödé"},
		{inWords("batch-norm-lag"), "Batch norm lag"},
		{inWords(""), ""},
		{viewName("averaged+threshold"), "Averaged, threshold of the training subjects"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestAxes(t *testing.T) {
	labels := func(a axis) string {
		var all []string
		for _, tick := range a.ticks {
			all = append(all, tick.label)
			if at := a.at(tick.value); !(at >= -1e-9 && at <= 1+1e-9) {
				t.Errorf("tick %s lies at %g", tick.label, at)
			}
		}
		return strings.Join(all, " ")
	}
	for _, c := range []struct {
		axis axis
		want string
	}{
		{epochAxis(0), ""},
		{epochAxis(1), "1"},
		{epochAxis(6), "1 2 3 4 5 6"},
		{epochAxis(60), "1 10 20 30 40 50 60"},
		{epochAxis(200), "1 50 100 150 200"},
		{linearAxis(32, 99, 5), "20 40 60 80 100"},
		{linearAxis(0, 0.31, 4), "0.0 0.1 0.2 0.3 0.4"},
		{linearAxis(-1, 1, 4), "−1.0 −0.5 0.0 0.5 1.0"},
		{linearAxis(5, 5, 2), "4.5 5.0 5.5"},
		{logAxis(0.02, 2), "0.02 0.05 0.1 0.2 0.5 1 2"},
		{logAxis(1e-5, 1e4), "0.0001 0.01 1 100 1e+04"},
	} {
		if got := labels(c.axis); got != c.want {
			t.Errorf("ticks %s, want %s", got, c.want)
		}
	}
}

// The quantiles are those of scipy 1.17.1, scipy.stats.binom.ppf([0.025, 0.975], n, p).
func TestBinomialBand(t *testing.T) {
	for _, c := range []struct {
		n         int
		p         float64
		low, high float64
	}{
		{15, 0.5, 4, 11},
		{40, 0.525, 15, 27},
		{100, 0.7, 61, 79},
		{500, 0.93, 453, 476},
		{1, 0.5, 0, 1},
		{20, 0, 0, 0},
		{20, 1, 20, 20},
	} {
		low, high := binomialBand(c.n, c.p)
		if low != c.low/float64(c.n) || high != c.high/float64(c.n) {
			t.Errorf("n = %d, p = %g: %g to %g subjects, want %g to %g", c.n, c.p, low*float64(c.n), high*float64(c.n), c.low, c.high)
		}
	}
}

// A network that answers each subject by a coin of constant probability stays
// inside the band in about 95 % of the epochs.
func TestChanceBandHoldsPureChance(t *testing.T) {
	r := simulation{train: 2, validation: 200, epochs: 400, classes: []string{"a", "b"}}.run()
	coins := stat.NewStream(1, "coins")
	for i := range r.Epochs {
		right := 0
		for range 200 {
			if coins.Float64() < 0.6 {
				right++
			}
		}
		r.Epochs[i].Evaluation(run.Logged, run.Validation).Accuracy = run.Float(float64(right) / 200)
	}
	b := newChanceBand(r)
	if b.subjects != 200 || b.values != 400 || b.window != 67 || len(b.low) != 400 {
		t.Fatalf("%d subjects, %d values, window %d, %d points", b.subjects, b.values, b.window, len(b.low))
	}
	if b.inside < 368 || b.inside > 396 { // 92 to 99 %; four standard errors of 95 % are 4.4 %
		t.Errorf("%d of 400 values lie inside", b.inside)
	}
	for i := range b.low {
		if width := b.high[i] - b.low[i]; !(width > 12 && width < 15) { // 2 x 1.96 x sqrt(0.6 x 0.4 / 200) = 13.6 points
			t.Fatalf("the band is %g points wide", width)
		}
	}
}

func TestSmoothedIsCentred(t *testing.T) {
	var line []point
	for i := range 20 {
		line = append(line, point{float64(i), 3 * float64(i)})
	}
	for i := 2; i < 18; i++ {
		if got := smoothed(line, i, 4); got != 3*float64(i) {
			t.Errorf("a straight line smoothed at %d is %g", i, got)
		}
	}
	if got := smoothed(line, 0, 4); got != 3 { // mean of 0, 3, 6
		t.Errorf("at the left end %g", got)
	}
}

func TestGuessing(t *testing.T) {
	r := simulation{train: 2, validation: 10, epochs: 1, classes: []string{"a", "b", "c"}}.run()
	for i := range r.Header.Sets[run.Validation] {
		r.Header.Sets[run.Validation][i].Class = []int{2, 2, 2, 2, 1, 1, 1, 0, 0, 0}[i]
	}
	if got := guessing(r); got != 40 {
		t.Errorf("the commonest class has %g %%, want 40", got)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct{ in, want []float64 }{
		{nil, nil},
		{[]float64{50}, []float64{50}},
		{[]float64{50, 52, 90}, []float64{50, 65, 90}},
		{[]float64{-20, 1, 2}, []float64{4, 19, 34}},
		{[]float64{98, 99, 120}, []float64{66, 81, 96}},
	} {
		if got := spread(c.in, 15, 4, 96); !slices.Equal(got, c.want) {
			t.Errorf("spread %v = %v, want %v", c.in, got, c.want)
		}
	}
}

// Values that are not finite break a line; a value between two gaps stays
// visible as a round dot.
func TestCurvePaths(t *testing.T) {
	c := chart{x: axis{low: 0, high: 10}, y: axis{low: 0, high: 100}}
	nan := math.NaN()
	curve := curve{points: []point{{1, 0}, {2, 50}, {3, nan}, {4, 100}, {5, math.Inf(1)}, {6, 25}, {7, 25}}}
	line, dots := c.curvePaths(&curve)
	if want := "M100 1000h0L200 500M400 0h0M600 750h0L700 750"; line != want {
		t.Errorf("line %s, want %s", line, want)
	}
	if want := "M100 1000h0M200 500h0M400 0h0M600 750h0M700 750h0"; dots != want {
		t.Errorf("dots %s, want %s", dots, want)
	}
	b := band{epochs: []float64{1, 2}, low: []float64{0, 10}, high: []float64{50, 60}}
	if got, want := c.bandPath(&b), "M100 500L200 400L200 900L100 1000Z"; got != want {
		t.Errorf("band %s, want %s", got, want)
	}
}

// flipsRun has four subjects and five epochs; subject 2 is left out once.
func flipsRun() *run.Run {
	r := &run.Run{Header: run.Header{Classes: []string{"a", "b"}, Sets: map[string][]run.Subject{
		run.Validation: {{ID: "steady", Class: 0}, {ID: "nervous", Class: 0}, {ID: "absent", Class: 1}, {ID: "wrong", Class: 1}}}}}
	truth := [][]float32{ // probability of the true class, by epoch and subject; -1: left out
		{0.9, 0.6, 0.75, 0.1},
		{0.9, 0.4, -1, 0.1},
		{0.9, 0.6, 0.25, 0.1},
		{0.9, 0.4, -1, 0.1},
		{1.0, 0.6, 0.75, 0.0},
	}
	for i, epoch := range truth {
		e := run.Evaluation{View: run.Logged, Set: run.Validation, Probabilities: make([]run.Row, 4)}
		for j, p := range epoch {
			if p >= 0 {
				e.Probabilities[j] = run.Row{1 - p, p}
				if r.Header.Sets[run.Validation][j].Class == 0 {
					e.Probabilities[j] = run.Row{p, 1 - p}
				}
			}
		}
		r.Epochs = append(r.Epochs, run.Epoch{Epoch: i + 1, Evaluations: []run.Evaluation{e}})
	}
	return r
}

func TestFlipMap(t *testing.T) {
	m := newFlipMap(flipsRun())
	if len(m.blocks) != 2 || m.blocks[0].class != "a" {
		t.Fatalf("blocks %+v", m.blocks)
	}
	want := []struct {
		id                      string
		flips, right, evaluated int
		truth                   float64
	}{
		{"nervous", 4, 3, 5, 0.52}, {"steady", 0, 5, 5, 0.92},
		{"absent", 2, 2, 3, 1.75 / 3}, {"wrong", 0, 0, 5, 0.08},
	}
	for i, s := range append(slices.Clone(m.blocks[0].rows), m.blocks[1].rows...) {
		w := want[i]
		if s.ID != w.id || s.flips != w.flips || s.right != w.right || s.evaluated != w.evaluated || !(math.Abs(s.truth-w.truth) < 1e-6) {
			t.Errorf("row %d: %+v, want %+v", i, s, w)
		}
	}
	uri, err := m.image(&m.blocks[1])
	if err != nil {
		t.Fatal(err)
	}
	picture := decodePicture(t, uri)
	// "absent": 0.75 is half way to sure, 0.25 likewise on the wrong side.
	pixels := []uint8{
		firstRight + 3, notEvaluated, firstWrong + 3, notEvaluated, firstRight + 3,
		firstWrong + 5, firstWrong + 5, firstWrong + 5, firstWrong + 5, firstWrong + 6,
	}
	if !slices.Equal(picture.Pix, pixels) {
		t.Errorf("pixels %v, want %v", picture.Pix, pixels)
	}
}

func TestShade(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		row   run.Row
		class int
		want  uint8
	}{
		{nil, 0, notEvaluated},
		{run.Row{nan, 0.5}, 1, notANumber},
		{run.Row{1, 0}, 0, firstRight + levels - 1},
		{run.Row{0.5, 0.5}, 0, firstRight}, // the first of equals is predicted
		{run.Row{0.5, 0.5}, 1, firstWrong},
		{run.Row{1, 0}, 1, firstWrong + levels - 1},
		{run.Row{0.34, 0.33, 0.33}, 0, firstRight},
		{run.Row{0.33, 0.34, 0.33}, 0, firstWrong + 2},
		{run.Row{0.1, 0.8, 0.1}, 1, firstRight + 4},
	} {
		if got := shade(c.row, c.class); got != c.want {
			t.Errorf("shade(%v, %d) = %d, want %d", c.row, c.class, got, c.want)
		}
	}
	if len(palette) != 16 {
		t.Errorf("%d colours do not fit four bits exactly", len(palette))
	}
}

// Right and wrong differ in hue, so that colour-blind readers tell them apart:
// blue above red in every shade of right, red above blue in every shade of wrong.
func TestPaletteHues(t *testing.T) {
	for i := range levels {
		wr, _, wb, _ := palette[firstWrong+i].RGBA()
		rr, _, rb, _ := palette[firstRight+i].RGBA()
		if wr <= wb || rb <= rr {
			t.Errorf("shade %d: wrong has red %d and blue %d, right red %d and blue %d", i, wr>>8, wb>>8, rr>>8, rb>>8)
		}
	}
}

func TestSegments(t *testing.T) {
	parts := segments([]diagnosis.Share{
		{Source: "a", Share: 0.7}, {Source: "b", Share: -0.1}, {Source: "c", Share: 0},
		{Source: "d", Share: diagnosis.Number(math.NaN())}, {Source: "e", Share: 0.5}, {Source: "f", Share: -0.1},
	})
	want := [][2]float64{{0, 0.7}, {-0.1, 0}, {0.7, 1.2}, {-0.2, -0.1}}
	if len(parts) != len(want) {
		t.Fatalf("%d segments, want %d", len(parts), len(want))
	}
	for i, p := range parts {
		if !(math.Abs(p.from-want[i][0]) < 1e-12 && math.Abs(p.to-want[i][1]) < 1e-12) {
			t.Errorf("segment %d from %g to %g, want %v", i, p.from, p.to, want[i])
		}
	}
	jitter := dividedJitter([]diagnosis.Share{{Share: 0.01, Points: 3}, {Share: -0.25, Points: -6}, {Share: diagnosis.Number(math.NaN())}})
	if jitter != 12 || !math.IsNaN(dividedJitter(nil)) {
		t.Errorf("the shares divide a jitter of %g points, want 12", jitter)
	}
	if budgetBar(nil) != "" {
		t.Error("a bar without shares")
	}
}

// A share whose interval is too wide to act on has no number anywhere on the page.
func TestUndecidedShares(t *testing.T) {
	shares := []diagnosis.Share{
		{Source: diagnosis.WeightNoise, Share: 0.61, Low: 0.1, High: 1.1, Points: 4.7},
		{Source: diagnosis.RealChange, Share: 0.39, Low: 0.3, High: 0.5, Points: 3.8},
	}
	lines, bar := budgetLines(shares), string(budgetBar(shares))
	if lines[0].Share != "cannot tell" || lines[0].Points != unknown || lines[1].Share != "39 %" {
		t.Errorf("the table says %+v", lines)
	}
	if strings.Contains(string(lines[0].Whisker), "circle") || !strings.Contains(string(lines[1].Whisker), "circle") {
		t.Error("the whisker marks an estimate that cannot be told")
	}
	if strings.Contains(bar, "61 %") || !strings.Contains(bar, "undecided") || !strings.Contains(bar, "39 %") {
		t.Errorf("the bar is %s", bar)
	}
	if got := shareWithRange(diagnosis.Interval{Points: 0.5, Low: 0.2, High: 0.8, Unit: diagnosis.Ratio}); !strings.HasPrefix(got, "cannot tell (") {
		t.Errorf("a share of 20 to 80 %% reads %q", got)
	}
}

func TestPlanYAML(t *testing.T) {
	got, err := planYAML(map[string]any{"optimizer.lr": 3e-4, "net.norm": "none", "net.width": 8, "augment.flip": []string{}, "prep.spacing": []float64{1, 1.5}, "validation.augment": false})
	if err != nil {
		t.Fatal(err)
	}
	want := "augment:\n  flip: []\nnet:\n  norm: none\n  width: 8\noptimizer:\n  lr: 0.0003\nprep:\n  spacing: [1, 1.5]\nvalidation:\n  augment: false"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
