package evaluation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/cohort"
	"ballast/prep"
	"ballast/stat"
)

// simulated is subjects whose positive logit is drawn around -1 or 1 and
// multiplied by sure: 1 is calibrated, as the logit of two normal classes of
// distance 2 and variance 2 is their log odds.
func simulated(seed uint64, n int, sure float64) *Predictions {
	s := stat.NewStream(seed, "simulated")
	p := &Predictions{Classes: []string{"no", "yes"}, Positive: 1}
	for i := range n {
		class := i % 2
		logit := sure * (float64(2*class-1) + math.Sqrt2*s.Normal())
		yes := 1 / (1 + math.Exp(-logit))
		p.Subjects = append(p.Subjects, Subject{ID: fmt.Sprint(i), Class: class, Probabilities: []float64{1 - yes, yes},
			Groups: map[string]string{"site": []string{"north", "south"}[i/2%2], "age": fmt.Sprint(20 + i)}})
	}
	return p
}

// Of 60 sets of a calibrated network about three exceed what one in twenty
// should, at most ten but for one time in a thousand; one that is four times too
// sure exceeds it always.
func TestCalibrationByChance(t *testing.T) {
	exceeds := func(sure float64) (count int) {
		for seed := range uint64(60) {
			p := simulated(100+seed, 150, sure)
			s := newSample(p, Options{}.complete())
			confidence, right := s.confidence(s.all())
			if stat.CalibrationError(confidence, right, 10) > float64(Calibrate(p, Options{Draws: 200}).ExpectedHigh) {
				count++
			}
		}
		return count
	}
	if n := exceeds(1); n > 10 {
		t.Errorf("%d of 60 calibrated sets look miscalibrated", n)
	}
	if n := exceeds(4); n != 60 {
		t.Errorf("%d of 60 sets that are too sure look miscalibrated", n)
	}
}

// Predictions that are four times too sure have a temperature of 4.
func TestCool(t *testing.T) {
	for _, sure := range []float64{1, 4} {
		p := simulated(3, 400, sure)
		bins, subjects := Calibrate(p, Options{Draws: 1}).Bins, 0
		for _, b := range bins {
			subjects += b.Subjects
			if !(b.Low <= b.Confidence && b.Confidence <= b.High && b.RightLow <= b.RightHigh) {
				t.Errorf("%+v", b)
			}
		}
		if subjects != 400 {
			t.Errorf("%d subjects in bins", subjects)
		}
		temperature, err := FitTemperature(p)
		if err != nil || !(math.Abs(temperature/sure-1) < 0.25) {
			t.Errorf("temperature %g, %v; want about %g", temperature, err, sure)
		}
		o := Options{Draws: 1}
		before, after := Find(Metrics(p, o), LogLoss).Value, Find(Metrics(p.Cool(temperature), o), LogLoss).Value
		if !(after <= before) {
			t.Errorf("cooling raises the log loss from %g to %g", before, after)
		}
		if p.Subjects[0].Probabilities[0] != simulated(3, 400, sure).Subjects[0].Probabilities[0] {
			t.Error("cooling changes the predictions it was given")
		}
	}
}

func TestFitThreshold(t *testing.T) {
	if got := FitThreshold(ten()); !(math.Abs(got-0.575) < 1e-12) { // as in package stat
		t.Errorf("threshold %g, want 0.575", got)
	}
}

// The entropy of the sure is low: where mistakes are unsure it tells them, where
// they are sure it misleads, and the sentence says which.
func TestDoubt(t *testing.T) {
	rows := func(wrong float64) *Predictions {
		var all [][]float64
		var truth []int
		for i := range 40 {
			p := 0.9 + 0.002*float64(i)
			if i%4 == 0 {
				p = wrong + 0.002*float64(i)
			}
			class := i % 2
			own := []float64{p, 1 - p}
			if class == 1 {
				own = []float64{1 - p, p}
			}
			if i%4 == 0 {
				class = 1 - class
			}
			all, truth = append(all, own), append(truth, class)
		}
		return predictions(all, truth)
	}
	for _, c := range []struct {
		p    *Predictions
		says string
		area float64
	}{
		{rows(0.55), "is higher on wrong", 1},
		{rows(0.91), "cannot be told from these", math.NaN()},
		{predictions([][]float64{{.9, .1}, {.2, .8}}, []int{0, 1}), "No subject is wrong", math.NaN()},
		{predictions([][]float64{{.9, .1}, {.2, .8}}, []int{1, 0}), "No subject is right", math.NaN()},
		{predictions([][]float64{{.9, .1}, {.2, .8}, {.3, .7}}, []int{1, 1, 1}), "cannot be told: 1 against 2", math.NaN()},
		{predictions([][]float64{{.9, .1}, {.8, .2}, {.7, .3}, {.6, .4}}, []int{0, 1, 0, 1}), "All subjects are predicted to be no", math.NaN()},
	} {
		u := Doubt(c.p, Options{})
		if !strings.Contains(u.Sentence, c.says) && !(c.area == 1 && strings.Contains(u.Sentence, "ranked alike")) {
			t.Errorf("%s; want %q", u.Sentence, c.says)
		}
		if c.area == 1 && u.Entropy.Value != 1 {
			t.Errorf("AUROC %g, want 1", u.Entropy.Value)
		}
		if u.MutualInformation != nil {
			t.Error("mutual information without samples")
		}
	}
	p := rows(0.55)
	for i := range p.Subjects {
		s := &p.Subjects[i]
		s.Samples = [][]float64{s.Probabilities, s.Probabilities}
	}
	if u := Doubt(p, Options{}); u.MutualInformation == nil {
		t.Error("samples without mutual information")
	}
}

func TestByColumn(t *testing.T) {
	p := simulated(5, 60, 1)
	p.Subjects[7].Groups = map[string]string{"age": "n/a"}
	groups := ByColumn(p, "site", Options{Draws: 20})
	if len(groups) != 3 || groups[0].Value != "north" || groups[1].Value != "south" || groups[2].Value != "" || groups[2].Subjects() != 1 {
		t.Fatalf("%+v", groups)
	}
	sum := 0
	for _, g := range groups {
		sum += g.Subjects()
		if len(g.Metrics) != 9 {
			t.Errorf("%s: %d metrics", g.Value, len(g.Metrics))
		}
	}
	if sum != 60 || groups[2].Metrics[2].Unknown == "" {
		t.Errorf("%d subjects; the AUROC of one: %+v", sum, groups[2].Metrics[2])
	}
	// Ages 20 to 79 in thirds; a word among them makes them words.
	delete(p.Subjects[7].Groups, "age")
	ages := ByColumn(p, "age", Options{Draws: 20})
	if len(ages) != 4 || !strings.HasPrefix(ages[0].Value, "up to") || ages[0].Subjects() != 20 || ages[2].Subjects() != 20 || ages[3].Value != "" {
		for _, g := range ages {
			t.Errorf("%q: %d subjects", g.Value, g.Subjects())
		}
	}
}

// A model that is given the answer has it, one that is given noise chooses a
// large ridge and predicts the shares, and nothing is learned of other subjects.
func TestLogisticBaseline(t *testing.T) {
	s := stat.NewStream(9, "baseline")
	var informed, blind []Case
	for i := range 60 {
		class := i % 3
		c := Case{ID: fmt.Sprint(i), Class: class}
		for range 1 + i%2 {
			c.Rows = append(c.Rows, []float64{float64(class) + 0.3*s.Normal(), s.Normal(), 7})
		}
		informed = append(informed, c)
		blind = append(blind, Case{ID: c.ID, Class: class, Rows: [][]float64{{s.Normal(), s.Normal()}}})
	}
	model, err := FitLogisticBaseline(context.Background(), informed, 3, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for _, c := range informed {
		row := model.Predict(c)
		if slices.Index(row, slices.Max(row)) == c.Class {
			right++
		}
	}
	if right < 54 || model.Ridge > 10 {
		t.Errorf("%d of 60 right with ridge %g", right, model.Ridge)
	}
	again, err := FitLogisticBaseline(context.Background(), informed, 3, 1, 1)
	if err != nil || !slices.Equal(again.Predict(informed[0]), model.Predict(informed[0])) {
		t.Errorf("another number of threads gives another model: %v", err)
	}
	noise, err := FitLogisticBaseline(context.Background(), blind, 3, 1, 2)
	if err != nil || noise.Ridge < 100 {
		t.Errorf("ridge %g for noise, %v", noise.Ridge, err)
	}
	shares, err := Majority(informed[:4], 3)
	if err != nil || !slices.Equal(shares(Case{}), []float64{0.5, 0.25, 0.25}) {
		t.Errorf("shares %v, %v", shares(Case{}), err)
	}
}

func TestBaselineRefusals(t *testing.T) {
	few := []Case{{Class: 0, Rows: [][]float64{{1}}}, {Class: 0, Rows: [][]float64{{2}}}, {Class: 1, Rows: [][]float64{{1}}}, {Class: 1, Rows: [][]float64{{3}}}}
	if _, err := FitLogisticBaseline(context.Background(), few, 2, 1, 1); !errors.Is(err, ErrBaseline) || !strings.Contains(err.Error(), "4 training subjects") {
		t.Errorf("%v", err)
	}
	if _, err := FitLogisticBaseline(context.Background(), few[:3], 2, 1, 1); !errors.Is(err, ErrBaseline) || !strings.Contains(err.Error(), "one training subject") {
		t.Errorf("%v", err)
	}
	if _, err := Majority(nil, 2); !errors.Is(err, ErrBaseline) {
		t.Errorf("%v", err)
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	many := slices.Repeat(few, 4)
	if _, err := FitLogisticBaseline(stopped, many, 2, 1, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A thumbnail of a picture of 64 x 48 is 32 x 32; its mean is the picture's where
// the bins are of one size.
func TestThumbnail(t *testing.T) {
	m := &prep.Image{C: 2, D: 1, H: 64, W: 64, Data: make([]float32, 2*64*64)}
	for i := range m.Data {
		m.Data[i] = float32(i % 64)
	}
	row := Thumbnail(m)
	if len(row) != 2*32*32 || row[0] != 0.5 || row[31] != 62.5 || row[32*32] != 0.5 {
		t.Errorf("%d numbers, %v ...", len(row), row[:2])
	}
	if row := Thumbnail(&prep.Image{C: 1, D: 8, H: 32, W: 20, Data: make([]float32, 8*32*20)}); len(row) != 8*16*16 {
		t.Errorf("%d numbers of a volume", len(row))
	}
}

// A cube of 4 x 4 x 4 voxels of 2 mm³ and value 5 in a mask: ln 128 and 5.
func TestVolumeAndIntensity(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, inside, outside float32) string {
		v := &cohort.Volume{Shape: [3]int{10, 10, 10}, Spacing: [3]float64{1, 1, 2}, Affine: [3][4]float64{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 2, 0}}}
		for n := range 1000 {
			value := outside
			if i, j, k := n%10, n/10%10, n/100; i < 4 && j < 4 && k < 4 {
				value = inside
			}
			v.Data = append(v.Data, value)
		}
		path := filepath.Join(dir, name)
		if err := cohort.WriteNIfTI(path, v, "float32"); err != nil {
			t.Fatal(err)
		}
		return path
	}
	image, mask := write("image.nii", 5, 1), write("mask.nii", 1, 0)
	row, err := VolumeAndIntensity(cohort.Image{Path: image, Mask: mask, Volume: cohort.Unchosen})
	if err != nil || !(math.Abs(row[0]-math.Log(128)) < 1e-12) || row[1] != 5 {
		t.Errorf("%v, %v; want %g and 5", row, err, math.Log(128))
	}
	if row, err = VolumeAndIntensity(cohort.Image{Path: image, Volume: cohort.Unchosen}); err != nil || !(math.Abs(row[0]-math.Log(128)) < 1e-12) || row[1] != 5 {
		t.Errorf("without a mask %v, %v", row, err)
	}
	if _, err = VolumeAndIntensity(cohort.Image{Path: image + "x", Volume: cohort.Unchosen}); err == nil || !strings.Contains(err.Error(), "image.niix") {
		t.Errorf("%v", err)
	}
}

func TestReport(t *testing.T) {
	p := simulated(5, 60, 1)
	r, err := Evaluate(p, Options{Draws: 100})
	if err != nil {
		t.Fatal(err)
	}
	r.Run, r.Cohort, r.Set, r.How.Weights, r.How.ThresholdFrom = "runs/a", "study", "60 subjects", "last", "the default"
	r.AddGroups("site")
	r.AddBaseline(Baseline{Name: "coin"}, func(int) []float64 { return []float64{0.5, 0.5} }, nil)
	r.AddBaseline(Baseline{Name: "absent"}, nil, ErrBaseline)
	r.Note("a note")
	if b := r.Baselines[0]; Find(b.Metrics, Brier).Value != 0.25 || Find(b.Less, Brier).Value != Find(r.Metrics, Brier).Value-0.25 {
		t.Errorf("a coin has a Brier score of %g", Find(b.Metrics, Brier).Value)
	}
	if needed := r.Needed(); !strings.HasPrefix(needed, "The best baseline by AUROC is coin, 0.500; the network is better by +") {
		t.Error(needed)
	}
	if p.Subjects[0].Probabilities[0] == 0.5 {
		t.Error("a baseline changes the network's predictions")
	}
	wrong := r.Wrong()
	for n, l := range wrong {
		if l.Right() || n > 0 && l.Entropy < wrong[n-1].Entropy {
			t.Errorf("wrong subject %d: %+v", n, l)
		}
	}
	if most := r.MostUncertain(5); len(most) != 5 || most[0].Entropy < most[4].Entropy || most[0].Entropy > math.Ln2 {
		t.Errorf("most uncertain: %+v", most)
	}
	var text bytes.Buffer
	if err := r.Text(&text, 100); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Accuracy ", "30 no, 30 yes", "balanced accuracy", "DeLong", "By site", "  south", "coin", "left out: baseline", "note: a note", "yes above a probability of 0.5 (the default)"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "NaN") {
		t.Errorf("the text holds NaN:\n%s", text.String())
	}
	file, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(file, &back); err != nil || len(back.Metrics) != 9 || back.Metrics[0].Value != r.Metrics[0].Value || len(back.Subjects) != 60 {
		t.Errorf("the JSON reads back as %v, %d metrics", err, len(back.Metrics))
	}
	if _, err := Evaluate(&Predictions{Classes: []string{"a", "b"}}, Options{}); !errors.Is(err, ErrPredictions) {
		t.Errorf("nobody: %v", err)
	}
}
