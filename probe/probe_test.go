package probe

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ballast/phantom"
	"ballast/prep"
	"ballast/run"
	"ballast/train"
)

// cohorts is subjects of a 2D phantom whose classes can be told apart, prepared
// once: 48 to train on and 40 to validate on.
var cohorts = sync.OnceValues(func() (*train.Images, error) {
	config := phantom.Default().Resized(2, 24)
	config.Effect = 4
	p := testPlan()
	images := &train.Images{Classes: []string{"non-responder", "responder"}}
	for _, part := range []struct {
		set     *train.Set
		name    string
		from, n int
	}{{&images.Train, run.Train, 0, 48}, {&images.Validation, run.Validation, 1000, 40}} {
		part.set.Name = part.name
		for k := part.from; k < part.from+part.n; k++ {
			subject := config.Subject(k)
			image, err := prep.Prepare(subject.Volume, subject.Mask, p.PrepConfig())
			if err != nil {
				return nil, err
			}
			part.set.Add(run.Subject{ID: subject.ID, Class: subject.Label}, image)
		}
	}
	return images, nil
})

func testPlan() train.Plan {
	p := train.DefaultPlan()
	p.Epochs, p.Batch = 8, 8
	p.Prep.Crop, p.Prep.Grid, p.Prep.Spacing, p.Prep.Channels = "mask", []int{16, 16}, []float64{4, 4}, 1
	p.Net.Name, p.Net.Width = "cnn2", 4
	p.Optimizer.LR = 0.01
	p.Augment = train.Augment{}
	p.Views.Every = 0
	return p
}

// trained trains a run with what change plants, and puts it on a bench.
func trained(t *testing.T, threads int, change func(*train.Plan)) *Bench {
	t.Helper()
	shared, err := cohorts()
	if err != nil {
		t.Fatal(err)
	}
	p, images := testPlan(), *shared
	if change != nil {
		change(&p)
	}
	if err := p.Plant(&images); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	writer, err := run.Create(dir, train.Header(p, &images, "test"), p.YAML())
	if err != nil {
		t.Fatal(err)
	}
	if err := train.Train(t.Context(), p, &images, writer, train.Options{}); err != nil {
		t.Fatal(err)
	}
	b, err := Open(dir, &images, threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// measure makes one experiment.
func measure(t *testing.T, b *Bench, id string) map[string]run.Float {
	t.Helper()
	all, err := Run(t.Context(), b, Options{Only: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	result := all.Result(id)
	if result == nil || result.Skipped != "" {
		t.Fatalf("%s was not made: %+v", id, result)
	}
	for name := range result.Values {
		if name != quickForm && !slices.Contains(Find(id).Values, name) {
			t.Errorf("%s measures %s, which it does not list", id, name)
		}
	}
	return result.Values
}

// within says what lies outside of its bounds; NaN always does.
func within(t *testing.T, values map[string]run.Float, name string, low, high float64) {
	t.Helper()
	x, known := values[name]
	if !known || !(float64(x) >= low && float64(x) <= high) {
		t.Errorf("%s is %v (there: %v), want %g to %g", name, x, known, low, high)
	}
}

// TestCleanRun holds every cheap experiment against a run in which nothing is
// planted.
func TestCleanRun(t *testing.T) {
	b := trained(t, 0, nil)
	last := b.Run.Epochs[len(b.Run.Epochs)-1].Evaluation(run.Logged, run.Validation)
	for _, id := range cheap {
		values := measure(t, b, id)
		for _, name := range Find(id).Values {
			if _, measured := values[name]; !measured && !strings.HasSuffix(name, "_site") {
				t.Errorf("%s lists %s, which it does not measure", id, name)
			}
		}
	}

	values := measure(t, b, "evaluate-twice")
	for name, want := range map[string]float64{"different": 0, "flips": 0, "covered": 1, "accuracy_difference": 0} {
		within(t, values, name, want, want)
	}
	values = measure(t, b, "training-through-validation")
	within(t, values, "input_difference", 0, 0)
	for _, kind := range []string{"loss", "accuracy"} {
		for _, set := range []string{"train", "validation"} {
			same := float64(values[set+"_train_"+kind])
			within(t, values, set+"_validation_"+kind, same, same)
		}
	}
	// the run has recorded what the same weights predict
	within(t, values, "validation_validation_loss", float64(last.Loss), float64(last.Loss))
	within(t, values, "validation_validation_accuracy", float64(last.Accuracy), float64(last.Accuracy))

	values = measure(t, b, "leakage")
	within(t, values, "pairs", 0, 0)
	within(t, values, "training_pairs", 0, 0)
	within(t, values, "share", 0, 0)
	within(t, values, "nearest", -1, 0.8)
	within(t, values, "accuracy_others", float64(last.Accuracy), float64(last.Accuracy))
	if x := float64(values["accuracy_shared"]); !math.IsNaN(x) {
		t.Errorf("the accuracy of nobody is %g, want NaN", x)
	}

	values = measure(t, b, "threshold")
	within(t, values, "accuracy_half", float64(last.Accuracy), float64(last.Accuracy))
	within(t, values, "threshold", 0.01, 0.99)

	values = measure(t, b, "shortcut")
	if _, there := values["auroc_site"]; there {
		t.Error("a cohort without sites has an area of its sites")
	}
	within(t, values, "accuracy_as_is", float64(last.Accuracy), float64(last.Accuracy))

	values = measure(t, b, "averaged-weights")
	within(t, values, "loss_last", float64(last.Loss), float64(last.Loss))
	values = measure(t, b, "recalibration")
	within(t, values, "loss_before", float64(last.Loss), float64(last.Loss))
	values = measure(t, b, "mode")
	within(t, values, "validation_running_loss", float64(last.Loss), float64(last.Loss))
}

// TestPlanted holds each experiment against a run in which what it looks for is
// planted.
func TestPlanted(t *testing.T) {
	for _, test := range []struct {
		name, id string
		plant    func(*train.Plan)
		check    func(t *testing.T, b *Bench, values map[string]run.Float)
	}{
		{"dropout while validating", "evaluate-twice", func(p *train.Plan) { p.Net.Dropout, p.Validation.Dropout = 0.5, true },
			func(t *testing.T, _ *Bench, values map[string]run.Float) {
				within(t, values, "different", 0.9, 1)
				within(t, values, "covered", 1, 1)
			}},
		{"augmentation while validating", "evaluate-twice", func(p *train.Plan) {
			p.Augment.Flip, p.Validation.Augment = []string{"left-right"}, true
		}, func(t *testing.T, _ *Bench, values map[string]run.Float) { within(t, values, "different", 0.3, 0.8) }}, // half of the flips agree
		{"a random part", "evaluate-twice", func(p *train.Plan) { p.Validation.Fraction = 0.5 },
			func(t *testing.T, _ *Bench, values map[string]run.Float) {
				within(t, values, "covered", 0.5, 0.5)
				within(t, values, "different", 0, 0) // of those that both draws have
				within(t, values, "flips", 0, 0)
			}},
		{"validation gain", "training-through-validation", func(p *train.Plan) { p.Mistakes.ValidationGain = 3 },
			func(t *testing.T, b *Bench, values map[string]run.Float) {
				squares, sum, count := 0.0, 0.0, 0.0
				for _, sample := range b.Images.Train.Samples {
					for _, x := range sample.Image.Data {
						squares, sum, count = squares+float64(x)*float64(x), sum+float64(x), count+1
					}
				}
				want := 2 * math.Sqrt(squares/count) / math.Sqrt(squares/count-sum/count*sum/count)
				within(t, values, "input_difference", 0.999*want, 1.001*want)
				if !(values["train_validation_loss"] > values["train_train_loss"]+0.1) {
					t.Errorf("training subjects have loss %g by their own pipeline and %g by the other", values["train_train_loss"], values["train_validation_loss"])
				}
				last := b.Run.Epochs[len(b.Run.Epochs)-1].Evaluation(run.Logged, run.Validation)
				within(t, values, "validation_validation_loss", float64(last.Loss), float64(last.Loss))
				if !(values["validation_train_loss"] < values["validation_validation_loss"]) {
					t.Errorf("validation subjects have loss %g by the training pipeline and %g by their own", values["validation_train_loss"], values["validation_validation_loss"])
				}
			}},
		{"slow batch-norm statistics", "recalibration", func(p *train.Plan) { p.Net.Momentum = 0.01 },
			func(t *testing.T, _ *Bench, values map[string]run.Float) {
				if !(values["loss_after"] < 0.95*values["loss_before"] && values["loss_momentum_0.5"] < values["loss_momentum_0.01"]) {
					t.Errorf("lagging statistics: %v", values)
				}
				within(t, values, "loss_batch_2", 0, 10)
				within(t, values, "train_batch_32_loss", 0, 10)
			}},
		{"slow batch-norm statistics, by mode", "mode", func(p *train.Plan) { p.Net.Momentum = 0.01 },
			func(t *testing.T, _ *Bench, values map[string]run.Float) {
				for _, set := range []string{"train", "validation"} {
					if !(values[set+"_batch_loss"] < values[set+"_running_loss"]) {
						t.Errorf("lagging statistics on the set %s: %v", set, values)
					}
				}
			}},
		{"a shared half", "leakage", func(p *train.Plan) { p.Mistakes.Leak = 0.5 },
			func(t *testing.T, _ *Bench, values map[string]run.Float) {
				within(t, values, "pairs", 20, 20)
				within(t, values, "share", 0.5, 0.5)
				within(t, values, "training_pairs", 0, 0)
				within(t, values, "accuracy_shared", 0.5, 1)
			}},
		{"a shared half, brighter", "leakage", func(p *train.Plan) { p.Mistakes.Leak, p.Mistakes.ValidationGain = 0.5, 2 },
			func(t *testing.T, _ *Bench, values map[string]run.Float) { within(t, values, "pairs", 20, 20) }},
		{"a site that tells the class", "shortcut", func(p *train.Plan) { p.Mistakes.Shortcut = 0.95 },
			func(t *testing.T, _ *Bench, values map[string]run.Float) {
				within(t, values, "auroc_site", 0.9, 0.99)
				within(t, values, "p_site", 0.001, 0.001)
				within(t, values, "auroc_intensity", 0.8, 1)
				within(t, values, "p_intensity", 0.001, 0.001)
				if !(values["accuracy_neutral"] < values["accuracy_as_is"]) {
					t.Errorf("the network does not miss the brightness: %v", values)
				}
			}},
		{"jumping weights", "averaged-weights", func(p *train.Plan) { p.Optimizer.LR, p.Views.Every = 0.1, 1 },
			func(t *testing.T, b *Bench, values map[string]run.Float) {
				want := b.Run.Epochs[len(b.Run.Epochs)-1].Evaluation(run.Averaged, run.Validation)
				within(t, values, "loss_averaged", float64(want.Loss), float64(want.Loss))
				want = b.Run.Epochs[len(b.Run.Epochs)-1].Evaluation(run.Recalibrated, run.Validation)
				within(t, values, "loss_recalibrated", float64(want.Loss), float64(want.Loss))
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := trained(t, 0, test.plant)
			test.check(t, b, measure(t, b, test.id))
		})
	}
}

// cheap is the experiments that need no training.
var cheap = []string{"evaluate-twice", "training-through-validation", "mode", "recalibration", "threshold", "averaged-weights", "leakage", "shortcut"}

// short trains little, for tests of the runner.
func short(p *train.Plan) { p.Epochs = 2 }

func TestSameValuesOnAnyNumberOfThreads(t *testing.T) {
	var want *run.Probes
	for _, threads := range []int{1, 3} {
		got, err := Run(t.Context(), trained(t, threads, func(p *train.Plan) {
			short(p)
			p.Net.Dropout, p.Validation.Dropout, p.Mistakes.Shortcut, p.Mistakes.ValidationGain = 0.3, true, 0.8, 1.5
		}), Options{Only: cheap})
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		} else if text := difference(want, got); text != "" {
			t.Errorf("%d threads: %s", threads, text)
		}
	}
}

// difference says in which values two results differ; two NaN are equal.
func difference(want, got *run.Probes) string {
	var differ []string
	for i, result := range want.Results {
		other := got.Results[i]
		if result.ID != other.ID || result.Skipped != other.Skipped || len(result.Values) != len(other.Values) {
			differ = append(differ, result.ID)
			continue
		}
		for name, x := range result.Values {
			if y, known := other.Values[name]; !known || math.Float64bits(float64(x)) != math.Float64bits(float64(y)) {
				differ = append(differ, result.ID+"/"+name)
			}
		}
	}
	slices.Sort(differ)
	return strings.Join(differ, ", ")
}

func TestCancelledKeepsWhatWasMeasured(t *testing.T) {
	b := trained(t, 0, short)
	ctx, cancel := context.WithCancel(t.Context())
	var begun []string
	got, err := Run(ctx, b, Options{Only: cheap, Progress: func(p Progress) {
		if p.Begun {
			begun = append(begun, p.Probe.ID)
		}
		if len(begun) == 3 {
			cancel()
		}
	}})
	if !errors.Is(err, train.ErrInterrupted) {
		t.Fatalf("error %v, want %v", err, train.ErrInterrupted)
	}
	var made []string
	for _, result := range got.Results {
		made = append(made, result.ID)
	}
	slices.Sort(made)
	slices.Sort(begun[:2])
	if !reflect.DeepEqual(made, begun[:2]) {
		t.Errorf("measured %v, want the two before the third one, %v", made, begun)
	}
}

// TestTime has every experiment skipped that does not end in time, with what it
// needs, and no value changed by the time.
func TestTime(t *testing.T) {
	b := trained(t, 0, short)
	none, err := Run(t.Context(), b, Options{Only: cheap, Time: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range none.Results {
		if !strings.Contains(result.Skipped, "it needs about") || len(result.Values) != 0 {
			t.Errorf("in no time: %+v", result)
		}
	}
	long, err := Run(t.Context(), b, Options{Only: cheap, Time: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	all, err := Run(t.Context(), b, Options{Only: cheap})
	if err != nil {
		t.Fatal(err)
	}
	if text := difference(all, long); text != "" {
		t.Errorf("with time: %s", text)
	}
}

// TestOrder has the cheapest experiment first and the share of the work rise to 1.
func TestOrder(t *testing.T) {
	b := trained(t, 0, short)
	last, cost := 0.0, 0.0
	_, err := Run(t.Context(), b, Options{Only: cheap, Progress: func(p Progress) {
		if p.Begun && p.Probe.Cost(b) < cost {
			t.Errorf("%s costs less than the one before", p.Probe.ID)
		}
		cost = p.Probe.Cost(b)
		if p.Share < last-1e-9 {
			t.Errorf("%s: the share falls from %g to %g", p.Probe.ID, last, p.Share)
		}
		last = p.Share
	}})
	if err != nil || math.Abs(last-1) > 1e-9 {
		t.Errorf("ended with %v at %g of the work", err, last)
	}
}

func TestNotApplicable(t *testing.T) {
	b := trained(t, 0, func(p *train.Plan) { p.Net.Norm = "group" })
	got, err := Run(t.Context(), b, Options{Only: []string{"mode", "recalibration"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range got.Results {
		if !strings.Contains(result.Skipped, "no batch normalisation") {
			t.Errorf("without batch norm: %+v", result)
		}
	}
}

func TestRefusals(t *testing.T) {
	b := trained(t, 0, short)
	if _, err := Run(t.Context(), b, Options{Only: []string{"no-such"}}); err == nil || !strings.Contains(err.Error(), `"no-such"`) {
		t.Errorf("an unknown experiment: %v", err)
	}
	other := *b.Images
	other.Train.Subjects = other.Train.Subjects[1:]
	if _, err := New(b.Run, b.Plan, &other, b.State, 0); !errors.Is(err, train.ErrMismatch) {
		t.Errorf("a subject too few: %v", err)
	}
	other = *b.Images
	other.Validation.Samples = slices.Clone(other.Validation.Samples)
	image := *other.Validation.Samples[0].Image
	image.Data = slices.Clone(image.Data)
	image.Data[5]++
	other.Validation.Samples[0].Image = &image
	if _, err := New(b.Run, b.Plan, &other, b.State, 0); !errors.Is(err, train.ErrMismatch) {
		t.Errorf("another voxel: %v", err)
	}
	if _, err := train.ReadState(t.TempDir(), b.Run); !errors.Is(err, train.ErrNoWeights) {
		t.Errorf("a folder without weights: %v", err)
	}
}

// TestQuick: a result of a quick form says so, and stands until the full form is
// asked for; that of a full form always stands.
func TestQuick(t *testing.T) {
	b := trained(t, 0, short)
	const id = "sharpness"
	measured := func(quick bool, keep *run.Probes) (all *run.Probes, begun bool) {
		b.Quick = quick
		all, err := Run(t.Context(), b, Options{Only: []string{id}, Keep: keep, Progress: func(p Progress) { begun = begun || p.Begun }})
		if err != nil {
			t.Fatal(err)
		}
		return all, begun
	}
	quick, _ := measured(true, nil)
	full, again := measured(false, quick)
	if quick.Result(id).Values[quickForm] != 1 || !again {
		t.Errorf("the quick form (%v) stands for the full one", quick.Result(id).Values)
	}
	if _, marked := full.Result(id).Values[quickForm]; marked {
		t.Error("the full form calls itself quick")
	}
	kept, again := measured(true, full)
	if text := difference(full, kept); text != "" || again {
		t.Errorf("a full form is made again in its quick one: %s", text)
	}
	stale := *quick
	stale.Epoch--
	if _, again := measured(true, &stale); !again {
		t.Error("the result for other weights stands")
	}
}
