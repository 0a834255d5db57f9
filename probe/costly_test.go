package probe

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

// quick puts a run on a bench for the quick form of the experiments.
func quick(t *testing.T, threads int, change func(*train.Plan)) *Bench {
	b := trained(t, threads, change)
	b.Quick = true
	return b
}

var costly = []string{"sharpness", "gradient-noise", "learning-rate-range", "continuation", "label-permutation", "label-noise", "cross-validation", "capacity"}

// The refits of the others take the ways of training, which has a test of its own.
func TestCostlyExperimentsHaveTheSameBitsOnAnyNumberOfThreads(t *testing.T) {
	var reference *run.Probes
	for _, threads := range []int{1, 2} {
		b := quick(t, threads, func(p *train.Plan) { p.Net.Dropout, p.Epochs = 0.2, 4 })
		all, err := Run(t.Context(), b, Options{Only: []string{"sharpness", "gradient-noise", "continuation"}})
		if err != nil {
			t.Fatal(err)
		}
		if reference == nil {
			reference = all
			continue
		}
		for i, result := range all.Results {
			other := reference.Results[i]
			if result.ID != other.ID || result.Skipped != other.Skipped || len(result.Values) == 0 || len(result.Values) != len(other.Values) {
				t.Errorf("%+v with 2 threads, %+v with 1", result, other)
			}
			for name, x := range result.Values {
				if math.Float64bits(float64(x)) != math.Float64bits(float64(other.Values[name])) {
					t.Errorf("%s of %s is %v with 2 threads, %v with 1", name, result.ID, x, other.Values[name])
				}
			}
		}
	}
}

// TestWorkIsWhatItCosts holds what each experiment reports of its work against what
// it said it would cost.
func TestWorkIsWhatItCosts(t *testing.T) {
	b := quick(t, 1, nil)
	for _, id := range costly {
		p := Find(id)
		b.work = 0
		if _, err := p.Run(t.Context(), b); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if share := b.work / p.Cost(b); !(share > 0.25 && share < 1.1) { // some end early
			t.Errorf("%s did %.0f of %.0f", id, b.work, p.Cost(b))
		}
	}
}

func TestCostlyExperimentsEndWhenInterrupted(t *testing.T) {
	b := quick(t, 1, nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, id := range costly {
		if _, err := Find(id).Run(ended, b); !errors.Is(err, train.ErrInterrupted) {
			t.Errorf("%s: %v, want ErrInterrupted", id, err)
		}
	}
}

// linear makes a plan whose loss is that of a logistic regression on pixels.
func linear(p *train.Plan) {
	p.Net.Name, p.Net.Width, p.Net.Norm = "linear", 1, "none"
	p.Optimizer.Name, p.Optimizer.LR, p.Epochs, p.Batch = "sgd", 0.003, 4, 8
}

// regression is the logistic regression of a linear run's last weights, computed
// directly: for each training image the means of 2 x 2 pixels, which are what a linear
// network sees of 16 x 16, and a 1; and the probability of the second class.
func regression(b *Bench) (rows [][]float64, probability []float64) {
	state := map[string][]float32{}
	for _, tensor := range b.State.Current {
		state[tensor.Name] = tensor.Data
	}
	weight, bias := state["head.weight"], state["head.bias"]
	features := len(weight) / 2
	for _, sample := range b.Images.Train.Samples {
		row := make([]float64, features+1)
		z := float64(bias[1]) - float64(bias[0])
		for at, x := range sample.Image.Data {
			row[at/16/2*8+at%16/2] += float64(x) / 4
		}
		for f, x := range row[:features] {
			z += (float64(weight[features+f]) - float64(weight[f])) * x
		}
		row[features] = 1
		rows, probability = append(rows, row), append(probability, 1/(1+math.Exp(-z)))
	}
	return rows, probability
}

// TestSharpnessOfALinearNetwork holds the largest eigenvalue against that of the dense
// Hessian of the logistic regression, by gonum. With the two rows of weights the
// Hessian is [[A -A] [-A A]], whose eigenvalues are twice those of A, the mean of
// p (1-p) x x'.
func TestSharpnessOfALinearNetwork(t *testing.T) {
	b := quick(t, 1, linear)
	rows, probability := regression(b)
	size := len(rows[0])
	dense := mat.NewSymDense(size, nil)
	for i, row := range rows {
		dense.SymRankOne(dense, probability[i]*(1-probability[i])/float64(len(rows)), mat.NewVecDense(size, row))
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(dense, false) {
		t.Fatal("gonum found no eigenvalues")
	}
	want := 2 * eigen.Values(nil)[size-1]
	values := measure(t, b, "sharpness")
	within(t, values, "largest_eigenvalue", 0.98*want, 1.001*want) // it ends within 2 %, from below
	within(t, values, "limit", 0.999999*2*1.9/0.003, 1.000001*2*1.9/0.003)
	within(t, values, "ratio", 0.98*want*0.003/3.8, 1.001*want*0.003/3.8)
}

// TestSharpnessAgreesWithPyTorch holds the largest eigenvalue for a network with batch
// normalisation, in six batches, against PyTorch 2.15 in float64 on the same weights: of the
// dense Gauss-Newton matrix from torch.autograd's Jacobian of the logits. The full
// Hessian, by power iteration on torch.autograd's products, has 5.818 there: what G
// leaves out is little.
func TestSharpnessAgreesWithPyTorch(t *testing.T) {
	const ofGaussNewton = 5.9035
	values := measure(t, quick(t, 1, func(p *train.Plan) { p.Net.Name, p.Epochs, p.Optimizer.Name = "cnn3", 20, "sgd" }), "sharpness")
	within(t, values, "largest_eigenvalue", 0.97*ofGaussNewton, 1.001*ofGaussNewton)
}

func TestSharpnessOfTrainedNetworks(t *testing.T) {
	for _, change := range []func(*train.Plan){nil, func(p *train.Plan) { p.Optimizer.Name = "sgd" }} {
		values := measure(t, quick(t, 1, change), "sharpness")
		within(t, values, "ratio", 1e-4, 0.5)
		within(t, values, "residual", 0, 0.05*float64(values["largest_eigenvalue"]))
		within(t, values, "images", 48, 48)
	}
	b := quick(t, 1, func(p *train.Plan) { p.Epochs = 1 })
	*b.State = train.State{Epoch: b.State.Epoch, Last: b.State.Last, Current: b.State.Current}
	if _, err := sharpness.Run(t.Context(), b); !errors.Is(err, ErrNotApplicable) || !strings.Contains(err.Error(), "checkpoint") {
		t.Errorf("adam without a checkpoint: %v", err)
	}
}

// TestGradientNoiseOfALinearNetwork holds the noise against the variance of the
// gradients of single images, computed directly: (p - y) times the pixels, and the
// same with the other sign for the other class.
func TestGradientNoiseOfALinearNetwork(t *testing.T) {
	b := quick(t, 1, linear)
	rows, probability := regression(b)
	n, size := float64(len(rows)), len(rows[0])
	mean := make([]float64, size)
	gradients := make([][]float64, len(rows))
	for i, row := range rows {
		error := probability[i] - float64(b.Images.Train.Samples[i].Class)
		gradients[i] = make([]float64, size)
		for f, x := range row {
			gradients[i][f] = error * x
			mean[f] += error * x / n
		}
	}
	trace := 0.0
	for _, g := range gradients {
		for f, x := range g {
			trace += 2 * (x - mean[f]) * (x - mean[f]) / (n - 1)
		}
	}
	values := measure(t, b, "gradient-noise")
	within(t, values, "batches", 8, 8)
	within(t, values, "measured", 6, 6)
	within(t, values, "batch", 8, 8)
	within(t, values, "noise", 0.6*trace, 1.4*trace)
	signal := 2*inner(mean, mean) - trace/n
	within(t, values, "signal", signal-0.2*trace/6, signal+0.2*trace/6)
}

func TestLearningRateRange(t *testing.T) {
	b := quick(t, 1, linear)
	values := measure(t, b, "learning-rate-range")
	// Steps of sgd with momentum 0.9 on a regression overshoot from 2 (1 + 0.9) over the
	// largest eigenvalue on.
	edge := 3.8 / float64(measure(t, b, "sharpness")["largest_eigenvalue"])
	within(t, values, "used", 0.003, 0.003)
	within(t, values, "steepest", edge/1000, edge)
	within(t, values, "suggested", edge/1000, edge)
	within(t, values, "blow_up", edge, 10)
	within(t, values, "steps", 50, 200)
}

func TestContinuation(t *testing.T) {
	values := measure(t, quick(t, 1, nil), "continuation")
	for _, c := range continuations {
		within(t, values, c.name+"_loss", 0, 1)
		within(t, values, c.name+"_jitter", 0, 50)
	}
	// A tenth of the rate is calmer: the loss of 40 subjects shows it.
	within(t, values, "tenth_loss_jitter", 0, 0.6*float64(values["same_loss_jitter"]))
	within(t, values, "epochs", measuredQuick, measuredQuick)
	within(t, values, "learning_rate", 0.01, 0.01)
}

func TestJitterOfAContinuation(t *testing.T) {
	var epochs []run.Epoch
	for _, accuracy := range []float64{0.9, 0.1, 0.6, 0.8, 0.7} { // two to settle
		e := run.Evaluation{View: run.Logged, Set: run.Validation, Accuracy: run.Float(accuracy), Loss: run.Float(1 - accuracy)}
		training := e
		training.Set = run.Train
		epochs = append(epochs, run.Epoch{Evaluations: []run.Evaluation{training, e}})
	}
	values := map[string]run.Float{}
	summarise(values, "same", epochs, 5)
	within(t, values, "same_jitter", 100*math.Sqrt((0.2*0.2+0.1*0.1)/4)-1e-9, 100*math.Sqrt((0.2*0.2+0.1*0.1)/4)+1e-9)
	within(t, values, "same_loss", 0.3-1e-12, 0.3+1e-12)
	within(t, values, "same_validation_accuracy", 0.7-1e-12, 0.7+1e-12)
	summarise(values, "half", epochs, 6)
	if !math.IsNaN(float64(values["half_loss"])) || !math.IsNaN(float64(values["half_jitter"])) {
		t.Errorf("a continuation that ended early has %v", values)
	}
}

func TestLabelPermutation(t *testing.T) {
	clean := measure(t, quick(t, 1, nil), "label-permutation")
	within(t, clean, "p", 1.0/1000, 0.01)
	within(t, clean, "score", 0.75, 1)
	within(t, clean, "null_mean", 0.45, 0.55)
	within(t, clean, "training_accuracy", 0.9, 1)
	within(t, clean, "permuted_training_accuracy", 0.7, 1)
	permuted := measure(t, quick(t, 1, func(p *train.Plan) { p.Mistakes.PermuteLabels = true }), "label-permutation")
	within(t, permuted, "p", 0.05, 1)
	within(t, permuted, "training_accuracy", 0.7, 1)
}

// TestPermutationKeepsItsLevel draws predictions without a signal: p is at most α in a
// share α of the tests.
func TestPermutationKeepsItsLevel(t *testing.T) {
	const draws, subjects = 2000, 40
	below := map[float64]int{0.05: 0, 0.1: 0, 0.25: 0, 0.5: 0}
	stream := stat.NewStream(9, "level")
	for draw := range draws {
		s := study{folds: 5}
		o := outcome{}
		for i := range subjects {
			s.subjects, s.classes = append(s.subjects, i), append(s.classes, i/5%2)
			x := float32(stream.Float64())
			o.fold, o.rows = append(o.fold, i%5), append(o.rows, run.Row{1 - x, x})
		}
		null := make([]float64, 99)
		for k := range null {
			null[k] = s.auroc(o, s.permuted(o, stat.NewStream(9, "null", uint64(draw), uint64(k))))
		}
		p := stat.PermutationP(s.auroc(o, s.classes), null)
		for level := range below {
			if p <= level {
				below[level]++
			}
		}
	}
	for level, count := range below {
		deviation := math.Sqrt(level * (1 - level) / draws)
		if share := float64(count) / draws; !(math.Abs(share-level) <= 4*deviation+0.01) {
			t.Errorf("p is at most %.2f in %.3f of the tests without a signal", level, share)
		}
	}
}

func TestFoldsAreStratifiedAndComplete(t *testing.T) {
	s := study{subjects: []int{9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 10}, folds: 3, classes: []int{0, 0, 0, 1, 1, 0, 0, 1, 0, 1, 0}}
	fold := s.divide(s.classes, stat.NewStream(1, "folds"))
	counts := [3][2]int{}
	for place, f := range fold {
		counts[f][s.classes[s.subjects[place]]]++
	}
	for f, count := range counts {
		if count[0] < 2 || count[0] > 3 || count[1] < 1 || count[1] > 2 {
			t.Errorf("fold %d has %v of the classes", f, count)
		}
	}
	if again := s.divide(s.classes, stat.NewStream(1, "folds")); !slices.Equal(fold, again) {
		t.Error("the same stream gave other folds")
	}
}

func TestLabelNoise(t *testing.T) {
	measureNoise := func(change func(*train.Plan)) map[string]run.Float {
		all, err := Run(t.Context(), quick(t, 1, change), Options{Only: []string{"label-noise"}})
		if err != nil || all.Results[0].Skipped != "" {
			t.Fatalf("%+v, %v", all, err)
		}
		suspects := 0
		for name := range all.Results[0].Values {
			if strings.HasPrefix(name, "suspect/") {
				suspects++
			} else if name != quickForm && !slices.Contains(labelNoise.Values, name) {
				t.Errorf("label-noise measures %s, which it does not list", name)
			}
		}
		values := all.Results[0].Values
		if want := min(namedSuspects, int(values["suspects"])); suspects != want {
			t.Errorf("%d suspects are named, want %d", suspects, want)
		}
		return values
	}
	clean := measureNoise(nil)
	within(t, clean, "estimate", 0, 1.2*float64(clean["null_high"]))
	within(t, clean, "lapse_low", 0, 0.03)
	within(t, clean, "p_lapse", 0.01, 1)
	noisy := measureNoise(func(p *train.Plan) { p.Mistakes.LabelNoise = 0.2 })
	within(t, noisy, "estimate", float64(clean["estimate"])+0.1, 0.45)
	within(t, noisy, "low", 0.02, float64(noisy["estimate"]))
	within(t, noisy, "high", float64(noisy["estimate"]), 0.6)
	within(t, noisy, "lapse_low", 0, 0.2)
	within(t, noisy, "lapse_high", 0.2, 0.49)
	if _, err := labelNoise.Run(t.Context(), quick(t, 1, func(p *train.Plan) { p.Mistakes.PermuteLabels = true })); !errors.Is(err, ErrNotApplicable) {
		t.Errorf("a network that learns nothing: %v, want ErrNotApplicable", err)
	}
}

func TestCapacity(t *testing.T) {
	b := quick(t, 1, func(p *train.Plan) { p.Epochs = 6 })
	values := measure(t, b, "capacity")
	within(t, values, "narrow_width", 2, 2)
	within(t, values, "wide_width", 8, 8)
	// The means over subjects are the differences of the losses: each has one image.
	for _, name := range []string{"narrow", "wide"} {
		gain := float64(values["same_validation_loss"] - values[name+"_validation_loss"])
		within(t, values, name+"_gain", gain-1e-4, gain+1e-4)
		within(t, values, name+"_gain_low", -2, gain)
		within(t, values, name+"_gain_high", gain, 2)
	}
	// A network of the same width is the run itself.
	again := map[string]run.Float{}
	p := b.Plan
	p.Views.Every = 0
	if err := b.Lab.Load(b.State.Last); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Lab.Recalibrate(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	own, err := b.Lab.Evaluate(t.Context(), &b.Images.Validation, train.Look{})
	if err == nil {
		err = b.retrain(t.Context(), again, "same", p, own)
	}
	if err != nil || again["same_gain"] != 0 || again["same_gain_low"] != 0 || again["same_validation_loss"] != own.Loss {
		t.Errorf("the run repeated: %v, %v", again, err)
	}
	if _, err := capacity.Run(t.Context(), quick(t, 1, linear)); !errors.Is(err, ErrNotApplicable) {
		t.Errorf("a linear network: %v, want ErrNotApplicable", err)
	}
}

// TestCostlyVariants makes the costly experiments on runs of every kind, label-noise
// apart, whose refits are those of label-permutation.
func TestCostlyVariants(t *testing.T) {
	for name, change := range map[string]func(*train.Plan){
		"attention":        func(p *train.Plan) { p.Net.Pooling = "attention" },
		"averaged weights": func(p *train.Plan) { p.Validation.Weights = "averaged" },
		"frozen":           func(p *train.Plan) { p.Net.Freeze = []string{"block1"} },
		"no norm, rmsprop": func(p *train.Plan) { p.Net.Norm, p.Optimizer.Name, p.Optimizer.LR = "none", "rmsprop", 0.001 },
		"mixed, weighted": func(p *train.Plan) {
			p.Augment.Mixup.Alpha, p.Loss.Weights, p.Optimizer.Accumulate, p.Schedule.Name = 0.3, "balanced", 2, "cosine"
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := quick(t, 1, func(p *train.Plan) {
				short(p)
				change(p)
			})
			got, err := Run(t.Context(), b, Options{Only: slices.DeleteFunc(slices.Clone(costly), func(id string) bool { return id == "label-noise" })})
			if err != nil {
				t.Fatal(err)
			}
			for _, result := range got.Results {
				if skipped := result.ID == "capacity" && name == "frozen"; (result.Skipped != "") != skipped {
					t.Errorf("%s: %q", result.ID, result.Skipped)
				}
			}
			if result := got.Result("sharpness"); !(result.Values["largest_eigenvalue"] > 0) {
				t.Errorf("sharpness: %v", result.Values)
			}
			if result := got.Result("continuation"); !(result.Values["same_loss"] > 0 && result.Values["same_loss"] < 2) {
				t.Errorf("continuation: %v", result.Values)
			}
		})
	}
}
