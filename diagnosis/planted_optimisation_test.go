package diagnosis

import (
	"math"

	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

func init() {
	for id, runs := range map[string][]plantedRun{
		"unshuffled-training": {
			{"sorted by class, batches of 16", Confirmed, func() *run.Run { return mixed(watchedRun(1, 30), 15.8) }},
			{"half sorted", Possible, func() *run.Run { return mixed(watchedRun(1, 30), 2.4) }},
			{"shuffled", RuledOut, func() *run.Run { return mixed(watchedRun(1, 30), 1.08) }},
			{"nothing recorded", CannotTell, func() *run.Run { return cleanRun(1, 30) }},
		},
		"dead-relu": {
			{"a layer without a living channel", Confirmed, func() *run.Run { return dying(watchedRun(2, 30), 1, 0) }},
			{"most of the late epochs", Likely, func() *run.Run {
				r := dying(watchedRun(2, 30), 0.7, 0.1)
				r.Epochs[len(r.Epochs)-2].Health.Layers[1].Dead = 0.4
				return r
			}},
			{"small batches, lively", Possible, func() *run.Run { return dying(watchedRun(2, 30), 0.6, 0.4) }},
			{"a few", RuledOut, func() *run.Run { return dying(watchedRun(2, 30), 0.1, 0.5) }},
			{"nothing recorded", CannotTell, func() *run.Run { return cleanRun(2, 30) }},
		},
		"vanishing-gradient": {
			{"no gradient in the first layer, nothing learnt", Confirmed, func() *run.Run { return fading(stuck(watchedRun(3, 30)), 1e-5, 1) }},
			{"outputs die out, nothing learnt", Likely, func() *run.Run { return fading(stuck(watchedRun(3, 30)), 0.5, 1e-4) }},
			{"no gradient in the first layer, learnt all the same", RuledOut, func() *run.Run { return fading(watchedRun(3, 30), 1e-5, 1) }},
			{"nothing learnt for another reason", RuledOut, func() *run.Run { return stuck(watchedRun(3, 30)) }},
			{"nothing recorded", CannotTell, func() *run.Run { return cleanRun(3, 30) }},
		},
		"exploding-gradient": {
			{"outputs grow from layer to layer", Confirmed, func() *run.Run { return exploding(watchedRun(4, 30), 250, 3e4, 1e3) }},
			{"a loss beyond reason", Possible, func() *run.Run { return exploding(watchedRun(4, 30), 20, 1, 1) }},
			{"one epoch with an enormous gradient", Likely, func() *run.Run { return exploding(watchedRun(4, 30), 20, 1, 200) }},
			{"a large gradient that does no harm", RuledOut, func() *run.Run { return exploding(watchedRun(4, 30), 0.3, 1e3, 200) }},
			{"clean", RuledOut, func() *run.Run { return watchedRun(4, 30) }},
		},
		"learning-rate-too-high": {
			{"large steps, jumping loss", Likely, func() *run.Run { return stepping(jumping(watchedRun(5, 30)), 0.02) }},
			{"the same, and it settles at a tenth of the rate", Confirmed, func() *run.Run {
				return continued(stepping(jumping(watchedRun(5, 30)), 0.02), map[string]run.Float{"same_loss": 0.4, "tenth_loss": 0.3, "same_jitter": 6, "tenth_jitter": 1.5})
			}},
			{"the same after a schedule that ends at nothing", Likely, func() *run.Run {
				r := continued(stepping(jumping(watchedRun(5, 30)), 0.02), map[string]run.Float{"same_loss": 0.4, "tenth_loss": 0.3, "same_jitter": 6, "tenth_jitter": 1.5})
				r.Probes.Results[0].Values["learning_rate"] = 1e-6
				return r
			}},
			{"usual steps, jumping loss", Possible, func() *run.Run { return jumping(watchedRun(5, 30)) }},
			{"usual steps, calm loss", RuledOut, func() *run.Run { return watchedRun(5, 30) }},
		},
		"learning-rate-too-low": {
			{"tiny steps", Likely, func() *run.Run { return stepping(stuck(watchedRun(6, 30)), 1e-5) }},
			{"tiny steps, three times the rate goes three times as far", Confirmed, func() *run.Run {
				return continued(stepping(stuck(watchedRun(6, 30)), 1e-5), map[string]run.Float{"before_loss": 0.69, "same_loss": 0.685, "triple_loss": 0.675})
			}},
			{"tiny steps after which all is learnt", RuledOut, func() *run.Run { return stepping(watchedRun(6, 100), 1e-5) }},
			{"usual steps, nothing learnt", RuledOut, func() *run.Run { return stuck(watchedRun(6, 30)) }},
			{"far below the steepest rate", Likely, func() *run.Run {
				r := stepping(stuck(watchedRun(6, 30)), 4e-4)
				return withProbe(r, "learning-rate-range", map[string]run.Float{"used": 1e-5, "steepest": 1e-3})
			}},
		},
		"batch-too-small": {
			{"batches of 3, jumping loss", Likely, func() *run.Run { return batches(jumping(watchedRun(7, 30)), 3) }},
			{"the same, and twice the batch settles", Confirmed, func() *run.Run {
				r := continued(batches(jumping(watchedRun(7, 30)), 3), map[string]run.Float{"same_loss": 0.4, "double_batch_loss": 0.2})
				return withProbe(r, "gradient-noise", map[string]run.Float{"noise_scale": 300, "batch": 3})
			}},
			{"batches of 3, calm, but steadier when averaged", Possible, func() *run.Run { return batches(watchedRun(7, 60), 3) }},
			{"batches of 16, jumping loss", RuledOut, func() *run.Run { return jumping(watchedRun(7, 30)) }},
		},
		"trained-too-short": {
			{"five epochs, falling", Likely, func() *run.Run { return hasty(5, 0.69, 0.55) }},
			{"five epochs, learnt, the last is the best", Possible, func() *run.Run { return hasty(5, 0.3, 0.05) }},
			{"continuation goes on", Confirmed, func() *run.Run {
				return continued(hasty(5, 0.69, 0.55), map[string]run.Float{"before_loss": 0.58, "same_loss": 0.4, "before_validation_loss": 0.6, "same_validation_loss": 0.5})
			}},
		},
		"trained-too-long": {
			{"known by heart, validation loss doubles", Confirmed, func() *run.Run { return turned(8, 100, 1.2, 0.01) }},
			{"not known by heart", Possible, func() *run.Run { return turned(8, 100, 1.2, 0.4) }},
			{"no turn", RuledOut, func() *run.Run { return turned(8, 100, 0, 0.01) }},
		},
		"too-much-capacity": {
			{"by heart, 1600 weights each, permuted labels too", Possible, func() *run.Run {
				return withProbe(planned(memorising(9, 100), 64), "label-permutation", map[string]run.Float{"permuted_training_accuracy": 1})
			}},
			{"a narrower network is better", Confirmed, func() *run.Run {
				return withProbe(planned(memorising(9, 100), 64), "capacity", widths("narrow", 16, 0.02, 0.15))
			}},
			{"a narrower network is no better", RuledOut, func() *run.Run {
				return withProbe(planned(memorising(9, 100), 64), "capacity", widths("narrow", 16, 0.02, -0.1))
			}},
			{"by heart, few weights", CannotTell, func() *run.Run { return planned(memorising(9, 100), 2) }},
			{"generalises", RuledOut, func() *run.Run { return planned(watchedRun(9, 100), 64) }},
		},
		"too-little-capacity": {
			{"fewer weights than subjects, at rest", Likely, func() *run.Run { return planned(resting(watchedRun(10, 30)), 1) }},
			{"a wider network is better", Confirmed, func() *run.Run {
				return withProbe(planned(resting(watchedRun(10, 30)), 1), "capacity", widths("wide", 4, 0.2, 0.15))
			}},
			{"a wider network fits no better", RuledOut, func() *run.Run {
				return withProbe(planned(resting(watchedRun(10, 30)), 1), "capacity", widths("wide", 4, 0.48, 0.02))
			}},
			{"weights enough, at rest", CannotTell, func() *run.Run { return planned(resting(watchedRun(10, 30)), 64) }},
			{"another rate helps", RuledOut, func() *run.Run {
				return continued(planned(resting(watchedRun(10, 30)), 1), map[string]run.Float{"same_loss": 0.5, "triple_loss": 0.3, "tenth_loss": 0.5, "half_loss": 0.5})
			}},
		},
		"too-little-learning": {
			{"guessing on the training set", Likely, func() *run.Run { return stuck(watchedRun(11, 30)) }},
			{"clean", RuledOut, func() *run.Run { return watchedRun(11, 30) }},
		},
		"non-finite-loss": {
			{"predictions are no numbers", Confirmed, func() *run.Run { return broken(watchedRun(12, 30), 10) }},
			{"from the first epoch on", Confirmed, func() *run.Run { return broken(watchedRun(12, 30), 0) }},
			{"clean", RuledOut, func() *run.Run { return watchedRun(12, 30) }},
			{"a loss that was not computed once", RuledOut, func() *run.Run {
				r := watchedRun(12, 30)
				r.Epochs[4].Evaluation(run.Logged, run.Train).Loss = run.Float(math.NaN())
				return r
			}},
			{"a training loss that ends", Confirmed, func() *run.Run {
				r := watchedRun(12, 30)
				for t := len(r.Epochs) - 3; t < len(r.Epochs); t++ {
					r.Epochs[t].Evaluation(run.Logged, run.Train).Loss = run.Float(math.NaN())
				}
				return r
			}},
		},
		"loss-accuracy-mismatch": {
			{"a loss of nothing", Likely, func() *run.Run {
				r := memorising(13, 40)
				for t := range r.Epochs {
					r.Epochs[t].Evaluation(run.Logged, run.Validation).Loss = 0.001
				}
				return r
			}},
			{"clean", RuledOut, func() *run.Run { return watchedRun(13, 40) }},
		},
		"overconfidence": {
			{"logits three times too large", Confirmed, func() *run.Run { return surer(newCourse(typical(), 14).run(100, 0), 3) }},
			{"clean", RuledOut, func() *run.Run { return watchedRun(14, 60) }},
		},
		"optimistic-selection": {
			{"a curve of chance on 20 subjects", Likely, func() *run.Run { return newCourse(typical(), 11).run(20, 3) }},
		},
	} {
		planted[id] = append(planted[id], runs...)
	}
}

// watchedRun is a clean run in batches of 16 whose layers are healthy.
func watchedRun(seed uint64, n int) *run.Run {
	r := cleanRun(seed, n)
	s := stat.NewStream(seed, "health")
	for t := range r.Epochs {
		epoch := &r.Epochs[t]
		epoch.Step = (t + 1) * (len(r.Header.Sets[run.Train]) / 16)
		epoch.GradientNorm = run.Float(1 + 0.2*s.Float64())
		epoch.Health = &run.Health{Mixing: run.Float(0.9 + 0.2*s.Float64()), LossSpread: 0.1, Agreement: 0.06}
		for k, name := range []string{"block1.conv.weight", "block2.conv.weight", "head.weight"} {
			l := run.LayerHealth{Name: name, Weight: 0.2, Gradient: run.Float(0.01 * (1 + s.Float64())), Update: run.Float(2e-3 * (1 + s.Float64())), Dead: 0, Active: run.Float(0.5 + 0.1*s.Float64()), Output: 1}
			if k == 2 {
				l.Dead, l.Active, l.Output = run.Float(math.NaN()), run.Float(math.NaN()), run.Float(math.NaN())
			}
			epoch.Health.Layers = append(epoch.Health.Layers, l)
		}
	}
	return r
}

// mixed sets the mixing of every epoch.
func mixed(r *run.Run, mixing float64) *run.Run {
	for t := range r.Epochs {
		r.Epochs[t].Health.Mixing = run.Float(mixing)
	}
	return r
}

// dying sets what lives of the second layer.
func dying(r *run.Run, dead, active float64) *run.Run {
	for t := range r.Epochs {
		l := &r.Epochs[t].Health.Layers[1]
		l.Dead, l.Active = run.Float(dead), run.Float(active)
	}
	return r
}

// fading multiplies the first layer's gradient and the second layer's output.
func fading(r *run.Run, gradient, output float64) *run.Run {
	for t := range r.Epochs {
		layers := r.Epochs[t].Health.Layers
		layers[0].Gradient *= run.Float(gradient)
		layers[1].Output *= run.Float(output)
	}
	return r
}

// fittedAs sets the loss and the accuracy of the training set in every view, by epoch.
func fittedAs(r *run.Run, of func(t int) (loss, accuracy float64)) *run.Run {
	for t := range r.Epochs {
		for k := range r.Epochs[t].Evaluations {
			if v := &r.Epochs[t].Evaluations[k]; v.Set == run.Train {
				loss, accuracy := of(t)
				v.Loss, v.Accuracy = run.Float(loss), run.Float(accuracy)
			}
		}
	}
	return r
}

// stuck is a run that learns nothing of its training set.
func stuck(r *run.Run) *run.Run {
	s := stat.NewStream(1, "stuck")
	return fittedAs(r, func(int) (float64, float64) { return 0.69 + 0.004*s.Float64(), 0.5 + 0.03*s.Float64() })
}

// exploding raises the training loss, the output of the second layer, and the
// gradient's norm in the third epoch.
func exploding(r *run.Run, loss, output, norm float64) *run.Run {
	for t := range r.Epochs {
		r.Epochs[t].Health.Layers[1].Output *= run.Float(output)
	}
	r.Epochs[2].GradientNorm *= run.Float(norm)
	return fittedAs(r, func(t int) (float64, float64) { return loss / float64(1+t), 0.8 })
}

// stepping sets the relative size of the steps.
func stepping(r *run.Run, update float64) *run.Run {
	for t := range r.Epochs {
		for k := range r.Epochs[t].Health.Layers {
			r.Epochs[t].Health.Layers[k].Update = run.Float(update)
		}
	}
	return r
}

// jumping makes the weights of every fourth epoch fit the training set badly, and
// the averaged ones well.
func jumping(r *run.Run) *run.Run {
	for t := range r.Epochs {
		for k := range r.Epochs[t].Evaluations {
			v := &r.Epochs[t].Evaluations[k]
			if v.Set != run.Train {
				continue
			}
			v.Loss, v.Accuracy = 0.3, 0.85
			if t%4 == 3 && v.View != run.Averaged && v.View != run.Logged {
				v.Loss, v.Accuracy = 0.6, 0.7
			}
		}
	}
	return r
}

// continued adds a short continuation at the rate of the run.
func continued(r *run.Run, values map[string]run.Float) *run.Run {
	values["learning_rate"], values["epochs"] = r.Epochs[0].LearningRate, 5
	return withProbe(r, "continuation", values)
}

// batches makes a step rest on so many images.
func batches(r *run.Run, images int) *run.Run {
	for t := range r.Epochs {
		r.Epochs[t].Step = (t + 1) * len(r.Header.Sets[run.Train]) / images
	}
	return r
}

// hasty is a run of few epochs whose training loss falls evenly between two values.
func hasty(epochs int, from, to float64) *run.Run {
	r := watchedRun(15, 30)
	r.Epochs = r.Epochs[:epochs]
	return fittedAs(r, func(t int) (float64, float64) {
		loss := from + (to-from)*float64(t)/float64(epochs-1)
		return loss, 1 - loss/1.4
	})
}

// turned is a run whose validation loss rises by so many nats for every subject from
// the tenth epoch to the last, at a given training loss.
func turned(seed uint64, n int, rise, training float64) *run.Run {
	r := watchedRun(seed, n)
	for t := range r.Epochs {
		more := rise * math.Max(0, float64(t-9)) / float64(len(r.Epochs)-10)
		for k := range r.Epochs[t].Evaluations {
			v := &r.Epochs[t].Evaluations[k]
			if v.Set != run.Validation {
				continue
			}
			for i, row := range v.Probabilities {
				class := r.Header.Sets[run.Validation][i].Class
				p := float64(row[class]) * math.Exp(-more)
				row[class], row[1-class] = float32(p), float32(1-p)
			}
			*v = evaluationOf(v.View, v.Set, v.Probabilities, classesOf(r, run.Validation))
		}
	}
	return fittedAs(r, func(int) (float64, float64) { return training, 0.995 })
}

func classesOf(r *run.Run, set string) []int {
	var classes []int
	for _, s := range r.Header.Sets[set] {
		classes = append(classes, s.Class)
	}
	return classes
}

// memorising is a run that knows its training set by heart and generalises badly.
func memorising(seed uint64, n int) *run.Run {
	s := cleanScenario(stat.NewStream(seed, "planted"))
	s.signal, s.memory, s.scale = 0.3, 20, 2
	r := newCourse(s, seed).run(n, 0)
	return fittedAs(r, func(int) (float64, float64) { return 0.01, 1 })
}

// planned gives the run the plan of a network of a given width.
func planned(r *run.Run, width int) *run.Run {
	plan := train.DefaultPlan()
	plan.Net.Name, plan.Net.Width, plan.Prep.Grid = "cnn3", width, []int{16, 16}
	if width == 1 {
		plan.Net.Name = "cnn1"
	}
	r.Plan = plan.YAML()
	return r
}

// resting is a run whose training loss stands still well above zero.
func resting(r *run.Run) *run.Run {
	s := stat.NewStream(1, "resting")
	return fittedAs(r, func(int) (float64, float64) { return 0.5 + 0.01*s.Float64(), 0.78 })
}

// broken is a run whose outputs are no numbers from an epoch on.
func broken(r *run.Run, from int) *run.Run {
	for t := from; t < len(r.Epochs); t++ {
		for k := range r.Epochs[t].Evaluations {
			v := &r.Epochs[t].Evaluations[k]
			v.Loss = run.Float(math.NaN())
			for _, row := range v.Probabilities {
				for c := range row {
					row[c] = float32(math.NaN())
				}
			}
		}
	}
	return r
}

// surer multiplies the validation logits.
func surer(r *run.Run, factor float64) *run.Run {
	for t := range r.Epochs {
		for k := range r.Epochs[t].Evaluations {
			v := &r.Epochs[t].Evaluations[k]
			if v.Set != run.Validation {
				continue
			}
			for _, row := range v.Probabilities {
				z := factor * math.Log(float64(row[1])/float64(row[0]))
				copy(row, rowOf(z))
			}
			*v = evaluationOf(v.View, v.Set, v.Probabilities, classesOf(r, run.Validation))
		}
	}
	return r
}

// widths is an experiment in which a network of another width has a training loss and
// a validation loss that is lower by a gain.
func widths(name string, width, training, gain float64) map[string]run.Float {
	return map[string]run.Float{
		"same_training_loss": 0.5, "same_validation_loss": 0.2,
		name + "_width": run.Float(width), name + "_training_loss": run.Float(training),
		name + "_gain": run.Float(gain), name + "_gain_low": run.Float(gain - 0.1), name + "_gain_high": run.Float(gain + 0.1),
	}
}
