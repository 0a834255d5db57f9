package main

import (
	"math"
	"slices"

	"ballast/run"
	"ballast/train"
)

// A rule is one published rule of a tool, re-expressed on what a run records. It is
// asked after every epoch, and its alarm counts for every cause that a reader could
// take it to mean.
type rule struct {
	name  string
	ids   []string
	fires func(r *record, t int) bool
}

// A tool is a set of public rules with their published thresholds.
type tool struct {
	name  string
	rules []rule
	// left says what could not be expressed.
	left string
}

// judge returns the rules that gave an alarm in any epoch and the number of alarms over
// all epochs.
func (tool *tool) judge(r *run.Run) (fired []int, alarms int) {
	record := newRecord(r)
	for i, rule := range tool.rules {
		before := alarms
		for t := range r.Epochs {
			if rule.fires(record, t) {
				alarms++
			}
		}
		if alarms > before {
			fired = append(fired, i)
		}
	}
	return fired, alarms
}

// A record is what the rules look at.
type record struct {
	epochs                  []run.Epoch
	plan                    *train.Plan
	trainLoss, trainAcc     []float64
	valLoss, valAcc         []float64
	least, greatest, offset float64 // of the training images: over all, and the mean
}

func newRecord(r *run.Run) *record {
	record := &record{epochs: r.Epochs, least: math.NaN(), greatest: math.NaN(), offset: math.NaN()}
	if plan, err := train.ReadPlan(r.Plan); err == nil {
		record.plan = &plan
	}
	at := func(t int, set string, of func(*run.Evaluation) float64) float64 {
		if v := r.Epochs[t].Evaluation(run.Logged, set); v != nil {
			return of(v)
		}
		return math.NaN()
	}
	for t := range r.Epochs {
		record.trainLoss = append(record.trainLoss, at(t, run.Train, lossOf))
		record.trainAcc = append(record.trainAcc, at(t, run.Train, accuracyOf))
		record.valLoss = append(record.valLoss, at(t, run.Validation, lossOf))
		record.valAcc = append(record.valAcc, at(t, run.Validation, accuracyOf))
	}
	if r.Fingerprint != nil && len(r.Fingerprint.Sets[run.Train]) > 0 {
		looks := r.Fingerprint.Sets[run.Train]
		record.least, record.greatest, record.offset = math.Inf(1), math.Inf(-1), 0
		for _, look := range looks {
			record.least = math.Min(record.least, float64(look.Least))
			record.greatest = math.Max(record.greatest, float64(look.Greatest))
			record.offset += float64(look.Mean) / float64(len(looks))
		}
	}
	return record
}

// layers are those watched in an epoch, from input to output.
func (r *record) layers(t int) []run.LayerHealth {
	if r.epochs[t].Health == nil {
		return nil
	}
	return r.epochs[t].Health.Layers
}

// any reports whether a layer watched in an epoch is as described.
func (r *record) any(t int, is func(run.LayerHealth) bool) bool {
	return slices.ContainsFunc(r.layers(t), is)
}

// gradients are those of the first and of the last layer.
func (r *record) gradients(t int) (first, last float64) {
	layers := r.layers(t)
	if len(layers) == 0 {
		return math.NaN(), math.NaN()
	}
	return float64(layers[0].Gradient), float64(layers[len(layers)-1].Gradient)
}

// broken reports whether a loss of the epoch is no number.
func (r *record) broken(t int) bool {
	bad := func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }
	return bad(r.trainLoss[t]) || bad(r.valLoss[t])
}

// once fires after the first epoch only: what does not change while training.
func once(fires func(r *record) bool) func(*record, int) bool {
	return func(r *record, t int) bool { return t == 0 && fires(r) }
}

// outside reports whether the input leaves [-1, 1].
func outside(r *record) bool { return r.least < -1 || r.greatest > 1 }

// stalled reports whether neither the loss nor the accuracy of an epoch is better
// than the one before.
func stalled(r *record, t int) bool {
	return t > 0 && !(r.trainLoss[t] < r.trainLoss[t-1]) && !(r.trainAcc[t] > r.trainAcc[t-1])
}

// sinceBest is the number of epochs since the lowest validation loss, lower by
// delta than all before it.
func (r *record) sinceBest(t int, delta float64) int {
	best, at := math.Inf(1), 0
	for k := 0; k <= t; k++ {
		if r.valLoss[k] < best-delta {
			best, at = r.valLoss[k], k
		}
	}
	return t - at
}

// checked reports whether AUTOTRAINER looks at an epoch: from 30 % of them on.
func (r *record) checked(t int) bool { return float64(t+1) >= 0.3*float64(len(r.epochs)) }

// oscillates is AUTOTRAINER's rule: a peak of the training accuracy at least 0.03
// above the trough that follows it, in a fifth of the epochs so far.
func oscillates(r *record, t int) bool {
	swings := 0
	for k := 1; k < t; k++ {
		if r.trainAcc[k] > r.trainAcc[k-1] && r.trainAcc[k]-r.trainAcc[k+1] >= 0.03 {
			swings++
		}
	}
	return r.checked(t) && float64(swings) >= 0.2*float64(t+1)
}

// slow is AUTOTRAINER's rule: no epoch so far has changed the accuracy by 0.01.
func slow(r *record, t int) bool {
	if !r.checked(t) {
		return false
	}
	for k := 1; k <= t; k++ {
		if math.Abs(r.trainAcc[k]-r.trainAcc[k-1]) >= 0.01 {
			return false
		}
	}
	return true
}

var (
	ofRate    = []string{"learning-rate-too-high", "learning-rate-too-low"}
	ofFitting = []string{"overfitting", "trained-too-long", "too-much-capacity", "overconfidence"}
	ofStall   = []string{"learning-rate-too-low", "learning-rate-too-high", "too-little-learning", "too-little-capacity", "no-signal", "coin-flip", "dead-relu",
		"vanishing-gradient"}
	ofSwings  = []string{"learning-rate-too-high", "batch-too-small", "unshuffled-training"}
	ofWeights = []string{"exploding-gradient", "vanishing-gradient"}
)

// rivals are the rules of reference work, with the thresholds of their code or manual.
var rivals = []*tool{
	{
		name: "UMLAUT",
		rules: []rule{
			{"input outside [-1, 1]", []string{"unscaled-input"}, once(outside)},
			{"learning rate above 0.01", ofRate[:1], once(func(r *record) bool { return r.plan != nil && r.plan.Optimizer.LR > 0.01 })},
			{"learning rate below 1e-7", ofRate[1:], once(func(r *record) bool { return r.plan != nil && r.plan.Optimizer.LR < 1e-7 })},
			{"validation loss up while the training loss is not", ofFitting, func(r *record, t int) bool {
				return t > 0 && r.valLoss[t] > r.valLoss[t-1] && r.trainLoss[t] <= r.trainLoss[t-1]
			}},
			{"validation accuracy above 0.95, or 0.05 above training, after 3 epochs", []string{"subject-leakage", "validation-better-than-training", "site-shortcut", "class-imbalance"},
				func(r *record, t int) bool { return t >= 3 && (r.valAcc[t] > 0.95 || r.valAcc[t] > r.trainAcc[t]+0.05) }},
			{"dropout above 0.5", []string{"validation-better-than-training", "stochastic-evaluation"},
				once(func(r *record) bool {
					return r.plan != nil && math.Max(r.plan.Net.Dropout, math.Max(r.plan.Net.BlockDropout, r.plan.Net.SpatialDropout)) > 0.5
				})},
		},
		left: "missing or doubled softmax and activation, inputs that are no floats: a ballast network cannot have them",
	},
	{
		name: "SageMaker Debugger",
		rules: []rule{
			{"Overfit: (validation - training loss) / training loss > 0.1", ofFitting, func(r *record, t int) bool {
				return t > 0 && (r.valLoss[t]-r.trainLoss[t])/r.trainLoss[t] > 0.1
			}},
			{"Overtraining: validation loss not better by 0.1 in 5 epochs", ofFitting, func(r *record, t int) bool { return r.sinceBest(t, 0.1) >= 5 }},
			{"VanishingGradient: below 1e-7", []string{"vanishing-gradient", "dead-relu", "too-little-learning"},
				func(r *record, t int) bool {
					return r.any(t, func(l run.LayerHealth) bool { return l.Gradient < 1e-7 })
				}},
			{"DeadRelu: more than half of the units", []string{"dead-relu"},
				func(r *record, t int) bool { return r.any(t, func(l run.LayerHealth) bool { return l.Dead > 0.5 }) }},
			{"UpdateRatio outside [1e-8, 10]", append([]string{"exploding-gradient"}, ofRate...),
				func(r *record, t int) bool {
					return r.any(t, func(l run.LayerHealth) bool { return l.Update < 1e-8 || l.Update > 10 })
				}},
			{"LossNotDecreasing: training loss not lower than 10 epochs ago by 0.1 %", ofStall,
				func(r *record, t int) bool { return t >= 10 && r.trainLoss[t] > 0.999*r.trainLoss[t-10] }},
			{"ExplodingTensor: not finite", []string{"non-finite-loss", "exploding-gradient", "learning-rate-too-high"},
				func(r *record, t int) bool { return r.broken(t) }},
			{"CheckInputImages: mean beyond 0.2", []string{"unscaled-input"}, once(func(r *record) bool { return math.Abs(r.offset) > 0.2 })},
		},
		left: "PoorInitialization and LossNotDecreasing look at steps, of which a run records the first, the middle and the last of an epoch; gradients are root mean " +
			"squares over a layer, not mean absolute values; a unit counts as dead where it is never active in a batch",
	},
	{
		name: "AUTOTRAINER",
		rules: []rule{
			{"vanish: first / last gradient < 1e-3 and first < 1e-4", []string{"vanishing-gradient", "dead-relu"}, func(r *record, t int) bool {
				first, last := r.gradients(t)
				return r.checked(t) && (first < 1e-4 && first < 1e-3*last || first == 0 && last == 0)
			}},
			{"explode: first / last gradient > 70, or loss no number or at least 1e3", []string{"exploding-gradient", "non-finite-loss", "learning-rate-too-high"}, func(r *record, t int) bool {
				first, last := r.gradients(t)
				return r.checked(t) && (first > 70*last || r.trainLoss[t] >= 1e3) || r.broken(t)
			}},
			{"dead: zero-gradient share at least 0.7", []string{"dead-relu"}, func(r *record, t int) bool {
				return r.checked(t) && r.any(t, func(l run.LayerHealth) bool { return l.ZeroGradient >= 0.7 })
			}},
			{"oscillation: training accuracy falls by 0.03 in a fifth of the epochs", ofSwings, oscillates},
			{"slow: no change of the training accuracy by 0.01", ofStall, slow},
			{"not converged: training accuracy below 0.6", ofStall, func(r *record, t int) bool { return t == len(r.epochs)-1 && r.trainAcc[t] < 0.6 }},
			{"activation at least 10", []string{"unscaled-input", "exploding-gradient"}, func(r *record, t int) bool {
				return r.checked(t) && r.any(t, func(l run.LayerHealth) bool { return l.Output >= 10 })
			}},
		},
		left: "activations are root mean squares, not mean absolute values; the rule against overfitting is disabled in the published code",
	},
	{
		name: "DeepDiagnosis",
		rules: []rule{
			{"dead: at least 70 % of a layer's outputs are not above 0", []string{"dead-relu"}, func(r *record, t int) bool {
				return r.any(t, func(l run.LayerHealth) bool { return l.Active <= 0.3 })
			}},
			{"vanishing: below 1e-7", []string{"vanishing-gradient", "dead-relu"}, func(r *record, t int) bool {
				return r.any(t, func(l run.LayerHealth) bool { return l.Gradient < 1e-7 })
			}},
			{"unchanged weights", ofStall, func(r *record, t int) bool { return r.any(t, func(l run.LayerHealth) bool { return l.Update == 0 }) }},
			{"numerical: not finite", []string{"non-finite-loss", "exploding-gradient", "learning-rate-too-high"}, func(r *record, t int) bool { return r.broken(t) }},
			{"loss and accuracy not improving", ofStall, stalled},
			{"weight variance outside [1e-5, 10]", ofWeights, func(r *record, t int) bool {
				return r.any(t, func(l run.LayerHealth) bool {
					return square(float64(l.Weight)) < 1e-5 || square(float64(l.Weight)) > 10
				})
			}},
			{"input outside [-1, 1]", []string{"unscaled-input"}, once(outside)},
			{"update ratio outside [1e-5, 1e-1]", ofRate, func(r *record, t int) bool {
				return r.any(t, func(l run.LayerHealth) bool { return l.Update < 1e-5 || l.Update > 1e-1 })
			}},
		},
		left: "saturation beyond 5 is of other activation functions than ReLU; outputs out of range of the loss cannot occur after a softmax; the variance of weights is " +
			"their mean square",
	},
}
