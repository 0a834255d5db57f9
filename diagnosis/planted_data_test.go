package diagnosis

import (
	"fmt"
	"math"

	"ballast/run"
	"ballast/stat"
)

func init() {
	for id, runs := range map[string][]plantedRun{
		"class-bias-oscillation": {
			{"every third epoch one class", Confirmed, func() *run.Run { return oscillating(30) }},
			{"clean", RuledOut, func() *run.Run { return cleanRun(1, 30) }},
		},
		"class-imbalance": {
			{"all are named the class of 85 %", Confirmed, func() *run.Run { return imbalanced(40, 0.85, true) }},
			{"85 %, well learnt", RuledOut, func() *run.Run { return imbalanced(100, 0.85, false) }},
			{"clean", RuledOut, func() *run.Run { return cleanRun(2, 40) }},
		},
		"threshold-flicker": {
			{"a bias that wanders", Confirmed, func() *run.Run { return flickering(200) }},
			{"clean", RuledOut, func() *run.Run { return cleanRun(3, 400) }},
			{"threshold experiment", Likely, func() *run.Run {
				r := onlyViews(cleanRun(3, 100), run.Logged)
				return withProbe(r, "threshold", map[string]run.Float{"accuracy_half": 0.5, "accuracy_training_threshold": 0.9})
			}},
		},
		"unscaled-input": {
			{"grey values", Confirmed, func() *run.Run { return scaledLooks(cleanRun(4, 20), run.Train, 100, 60) }},
			{"far from zero", Likely, func() *run.Run { return scaledLooks(cleanRun(4, 20), run.Train, 0.1, 3) }},
			{"tiny", Confirmed, func() *run.Run { return scaledLooks(cleanRun(4, 20), run.Train, 1e-3, 0) }},
			{"zero to one", RuledOut, func() *run.Run { return scaledLooks(cleanRun(4, 20), run.Train, 0.2, 0.2) }},
			{"clean", RuledOut, func() *run.Run { return cleanRun(4, 20) }},
			{"nothing recorded", CannotTell, func() *run.Run { return withoutLooks(cleanRun(4, 20)) }},
		},
		"preprocessing-mismatch": {
			{"validation twice as bright", Likely, func() *run.Run { return scaledLooks(cleanRun(5, 20), run.Validation, 2, 0) }},
			{"validation with an offset", Likely, func() *run.Run { return scaledLooks(cleanRun(5, 20), run.Validation, 1, 0.5) }},
			{"other sites", Possible, func() *run.Run { return siteOf(scaledLooks(cleanRun(5, 20), run.Validation, 1, 0.5), "B") }},
			{"clean", CannotTell, func() *run.Run { return cleanRun(5, 20) }},
			{"experiment", Confirmed, func() *run.Run { return pipelines(cleanRun(5, 20), 1.5, 0.97, 0.55) }},
			{"experiment without effect", RuledOut, func() *run.Run { return pipelines(cleanRun(5, 20), 0, 0.97, 0.97) }},
			{"experiment, harmless", Likely, func() *run.Run { return pipelines(cleanRun(5, 20), 0.5, 0.97, 0.97) }},
		},
		"subject-leakage": {
			{"the same ids", Confirmed, func() *run.Run { return sameIDs(cleanRun(6, 30), 3) }},
			{"ids are counted in each set", CannotTell, func() *run.Run { return withoutLooks(countedIDs(cleanRun(6, 30))) }},
			{"copies", Confirmed, func() *run.Run { return copied(cleanRun(6, 30), 3, 0) }},
			{"nearly copies", Likely, func() *run.Run { return copied(cleanRun(6, 30), 3, 2) }},
			{"brains that look alike", RuledOut, func() *run.Run { return alike(cleanRun(6, 30)) }},
			{"clean", RuledOut, func() *run.Run { return cleanRun(6, 30) }},
			{"experiment", Confirmed, func() *run.Run {
				return withProbe(withoutLooks(cleanRun(6, 30)), "leakage", map[string]run.Float{"pairs": 5, "share": 0.2, "accuracy_shared": 1, "accuracy_others": 0.6})
			}},
			{"experiment finds nothing", RuledOut, func() *run.Run {
				return withProbe(withoutLooks(cleanRun(6, 30)), "leakage", map[string]run.Float{"pairs": 0, "share": 0})
			}},
		},
		"site-shortcut": {
			{"the network leans on the site", Likely, func() *run.Run { return bySite(7, 40, 0.9, 3) }},
			{"it does not", Possible, func() *run.Run { return bySite(7, 40, 0.9, 0) }},
			{"sites without classes of their own", RuledOut, func() *run.Run { return bySite(7, 40, 0.5, 0) }},
			{"experiment", Confirmed, func() *run.Run {
				return withProbe(bySite(7, 40, 0.9, 3), "shortcut", map[string]run.Float{"accuracy_as_is": 0.9, "accuracy_neutral": 0.6, "p_neutral": 0.001, "p_site": 0.001, "p_intensity": 0.001, "auroc_intensity": 0.9, "auroc_site": 0.9})
			}},
			{"nothing recorded", CannotTell, func() *run.Run { return withoutLooks(cleanRun(7, 20)) }},
		},
		"no-signal": {
			{"memorised, experiment", Confirmed, func() *run.Run {
				return withProbe(guessing(40), "label-permutation", map[string]run.Float{"score": 0.5, "null_mean": 0.5, "null_high": 0.57, "p": 0.5, "subjects": 320})
			}},
			{"refits that learnt little", Possible, func() *run.Run {
				return withProbe(guessing(40), "label-permutation", map[string]run.Float{"score": 0.5, "null_mean": 0.5, "null_high": 0.57, "p": 0.5, "subjects": 320, "training_accuracy": 0.72})
			}},
			{"few subjects scored", Likely, func() *run.Run {
				return withProbe(guessing(40), "label-permutation", map[string]run.Float{"score": 0.5, "null_mean": 0.5, "null_high": 0.63, "p": 0.5, "subjects": 320, "training_accuracy": 0.98})
			}},
			{"experiment finds signal", RuledOut, func() *run.Run {
				return withProbe(guessing(40), "label-permutation", map[string]run.Float{"score": 0.8, "null_mean": 0.5, "null_high": 0.57, "p": 0.001, "subjects": 320})
			}},
			{"memorised, 400 subjects", Likely, func() *run.Run { return guessing(400) }},
			{"clean", RuledOut, func() *run.Run { return cleanRun(8, 40) }},
		},
		"label-noise": {
			{"one label in five, experiment", Likely, func() *run.Run {
				return withProbe(cleanRun(9, 60), "label-noise", map[string]run.Float{"estimate": 0.2, "low": 0.12, "high": 0.28, "suspects": 30,
					"subjects": 150, "wrong": 0.22, "confident": 50, "confident_wrong": 11, "confident_wrong_least": 4, "lapse": 0.2, "lapse_low": 0.12, "lapse_high": 0.28, "p_lapse": 0.004})
			}},
			{"mistakes of one class only, experiment", Possible, func() *run.Run {
				return withProbe(cleanRun(9, 60), "label-noise", map[string]run.Float{"estimate": 0.2, "low": 0.12, "high": 0.28,
					"subjects": 150, "wrong": 0.22, "confident": 50, "confident_wrong": 11, "confident_wrong_least": 0, "lapse": 0.2, "lapse_low": 0.12, "lapse_high": 0.28, "p_lapse": 0.004})
			}},
			{"hardly learnt, experiment", CannotTell, func() *run.Run {
				return withProbe(cleanRun(9, 60), "label-noise", map[string]run.Float{"estimate": 0.4, "low": 0.33, "high": 0.46, "null_high": 0.45,
					"subjects": 320, "wrong": 0.42, "confident": 106, "confident_wrong": 40, "confident_wrong_least": 15, "lapse": 0.38, "lapse_low": 0.3, "lapse_high": 0.44, "p_lapse": 0.01})
			}},
			{"right wherever it is sure, experiment", RuledOut, func() *run.Run {
				return withProbe(cleanRun(9, 60), "label-noise", map[string]run.Float{"estimate": 0.12, "low": 0.08, "high": 0.16, "null_high": 0.14,
					"subjects": 320, "wrong": 0.1, "confident": 106, "confident_wrong": 0, "confident_wrong_least": 0, "lapse": 0, "lapse_low": 0, "lapse_high": 0.03, "p_lapse": 1})
			}},
			{"a hard task, experiment", Possible, func() *run.Run {
				return withProbe(cleanRun(9, 60), "label-noise", map[string]run.Float{"estimate": 0.2, "low": 0.12, "high": 0.28, "suspects": 30,
					"subjects": 150, "wrong": 0.25, "confident": 50, "confident_wrong": 3, "confident_wrong_least": 1, "null_high": 0.18, "lapse": 0.02, "lapse_low": 0, "lapse_high": 0.14, "p_lapse": 0.4})
			}},
			{"one label in five, 400 subjects", Possible, func() *run.Run { return mislabelled(400, 0.15) }},
			{"clean", CannotTell, func() *run.Run { return cleanRun(9, 60) }},
		},
		"loss-weight-mismatch": {
			{"one class counts twelve times", Confirmed, func() *run.Run { return weighted(100, 12, true) }},
			{"without effect", Likely, func() *run.Run { return weighted(60, 5, false) }},
			{"smoothed labels", RuledOut, func() *run.Run { return smoothedObjective(cleanRun(10, 30)) }},
			{"clean", RuledOut, func() *run.Run { return cleanRun(10, 30) }},
			{"a weighted validation loss", Likely, func() *run.Run { return weightedValidation(cleanRun(10, 30), 4) }},
		},
		"batch-norm-small-batch": {
			{"experiment", Confirmed, func() *run.Run {
				r := withProbe(cleanRun(11, 40), "mode", map[string]run.Float{"train_running_accuracy": 0.6, "train_batch_accuracy": 0.98})
				return withProbe(r, "recalibration", map[string]run.Float{"accuracy_before": 0.6, "accuracy_after": 0.6, "loss_batch_2": 1.4, "loss_batch_32": 0.6})
			}},
			{"batches of 4 cost much", Confirmed, func() *run.Run {
				r := planOf(cleanRun(11, 40), "batch: 4\n")
				return withProbe(r, "recalibration", map[string]run.Float{"accuracy_before": 0.8, "accuracy_after": 0.8, "train_batch_4_accuracy": 0.6, "train_batch_32_accuracy": 0.95})
			}},
			{"batches of 3, nothing measured", Possible, func() *run.Run { return planOf(cleanRun(11, 40), "batch: 3\n") }},
			{"clean", RuledOut, func() *run.Run { return cleanRun(11, 40) }},
			{"no norm", RuledOut, func() *run.Run { return planOf(cleanRun(11, 40), "net: {norm: none}\n") }},
		},
		"random-validation-subset": {
			{"only the logged view", Confirmed, func() *run.Run {
				s := cleanScenario(stat.NewStream(12, "planted"))
				s.fraction = 0.5
				return onlyViews(newCourse(s, 12).run(40, 0), run.Logged)
			}},
			{"always the same half", RuledOut, func() *run.Run { return sameHalf(cleanRun(12, 40)) }},
		},
		"stochastic-evaluation": {
			{"experiment", Confirmed, func() *run.Run {
				return withProbe(onlyViews(newCourse(typical(), 13).run(40, 0), run.Logged), "evaluate-twice", map[string]run.Float{"different": 1, "flips": 0.5, "covered": 1})
			}},
			{"experiment finds nothing", RuledOut, func() *run.Run {
				return withProbe(onlyViews(newCourse(typical(), 13).run(40, 0), run.Logged), "evaluate-twice", map[string]run.Float{"different": 0, "flips": 0, "covered": 1})
			}},
		},
		"batch-norm-lag": {
			{"experiment", Confirmed, func() *run.Run {
				return withProbe(onlyViews(newCourse(typical(), 13).run(40, 0), run.Logged), "recalibration", map[string]run.Float{"accuracy_before": 0.5, "accuracy_after": 0.9})
			}},
		},
		"small-validation-set": {{"24 subjects", Confirmed, func() *run.Run { return newCourse(typical(), 11).run(24, 0) }}},
		"overconfidence":       {{"24 subjects", Confirmed, func() *run.Run { return newCourse(typical(), 11).run(24, 0) }}},
		"optimistic-selection": {{"24 subjects", Likely, func() *run.Run { return newCourse(typical(), 11).run(24, 0) }}},
		"validation-better-than-training": {
			{"dropout while training", Confirmed, func() *run.Run { return loggedLower(cleanRun(14, 100), 0.5) }},
			{"not explained", Likely, func() *run.Run { return easierValidation(100) }},
			{"neither explains it", Possible, func() *run.Run { return onlyTraining(easierValidation(12), 0.76) }},
			{"clean", RuledOut, func() *run.Run { return cleanRun(14, 100) }},
		},
	} {
		planted[id] = append(planted[id], runs...)
	}
}

// rewritten applies a change to the probabilities of every evaluation of a set and
// computes its measures again.
func rewritten(r *run.Run, set string, change func(t int, subject run.Subject, i int, row run.Row) run.Row) *run.Run {
	var classes []int
	for _, s := range r.Header.Sets[set] {
		classes = append(classes, s.Class)
	}
	for t := range r.Epochs {
		for k := range r.Epochs[t].Evaluations {
			v := &r.Epochs[t].Evaluations[k]
			if v.Set != set || v.Probabilities == nil {
				continue
			}
			for i, row := range v.Probabilities {
				v.Probabilities[i] = change(t, r.Header.Sets[set][i], i, row)
			}
			*v = evaluationOf(v.View, set, v.Probabilities, classes)
		}
	}
	return r
}

// shifted adds to the logit of class 1.
func shifted(row run.Row, by float64) run.Row {
	if row == nil {
		return nil
	}
	return rowOf(margin(row, 1) + by)
}

func oscillating(n int) *run.Run {
	return rewritten(cleanRun(1, n), run.Validation, func(t int, _ run.Subject, _ int, row run.Row) run.Row {
		switch t % 3 {
		case 1:
			return shifted(row, 20)
		case 2:
			return shifted(row, -20)
		}
		return row
	})
}

func imbalanced(n int, share float64, collapsed bool) *run.Run {
	s := cleanScenario(stat.NewStream(2, "planted"))
	s.prevalence, s.signal, s.scale, s.epochs = share, 2.5, 5, 20
	r := newCourse(s, 2).run(n, 0)
	if collapsed {
		rewritten(r, run.Validation, func(_ int, _ run.Subject, _ int, row run.Row) run.Row { return shifted(row, 30) })
	}
	return r
}

// flickering has a bias that training and validation subjects share.
func flickering(n int) *run.Run {
	s := cleanScenario(stat.NewStream(3, "planted"))
	s.shakeBias, s.walk, s.shake, s.signal, s.scale = 2, 0, 0, 1, 2
	return newCourse(s, 3).run(n, 0)
}

func onlyViews(r *run.Run, views ...string) *run.Run {
	for t := range r.Epochs {
		var kept []run.Evaluation
		for _, v := range r.Epochs[t].Evaluations {
			for _, view := range views {
				if v.View == view {
					kept = append(kept, v)
				}
			}
		}
		r.Epochs[t].Evaluations = kept
	}
	return r
}

func scaledLooks(r *run.Run, set string, gain, offset float64) *run.Run {
	for i := range r.Fingerprint.Sets[set] {
		l := &r.Fingerprint.Sets[set][i]
		for _, x := range []*run.Float{&l.Mean, &l.Least, &l.Greatest} {
			*x = run.Float(gain*float64(*x) + offset)
		}
		l.Deviation *= run.Float(gain)
	}
	return r
}

func withoutLooks(r *run.Run) *run.Run {
	r.Fingerprint = nil
	return r
}

// siteOf gives the validation subjects a site of their own.
func siteOf(r *run.Run, site string) *run.Run {
	for i := range r.Header.Sets[run.Train] {
		r.Header.Sets[run.Train][i].Site = "A"
	}
	for i := range r.Header.Sets[run.Validation] {
		r.Header.Sets[run.Validation][i].Site = site
	}
	return r
}

func pipelines(r *run.Run, difference, own, other float64) *run.Run {
	return withProbe(r, "training-through-validation", map[string]run.Float{"input_difference": run.Float(difference),
		"train_train_accuracy": run.Float(own), "train_validation_accuracy": run.Float(other)})
}

// sameIDs gives validation subjects the ids of training subjects of their class.
func sameIDs(r *run.Run, count int) *run.Run {
	training := r.Header.Sets[run.Train]
	for i := range count {
		v := &r.Header.Sets[run.Validation][i]
		for _, s := range training[10*i:] {
			if s.Class == v.Class {
				v.ID = s.ID
				break
			}
		}
	}
	return r
}

func countedIDs(r *run.Run) *run.Run {
	for set, subjects := range r.Header.Sets {
		for i := range subjects {
			subjects[i].ID = fmt.Sprintf("%03d", i)
			if subjects[i].Class = i % 2; set == run.Validation {
				subjects[i].Class = i / 2 % 2
			}
		}
	}
	return r
}

// copied gives validation subjects the looks of training subjects, with some noise
// in units of 1/32 standard deviation.
func copied(r *run.Run, count int, noise float64) *run.Run {
	s := stat.NewStream(1, "copied")
	for i := range count {
		look := r.Fingerprint.Sets[run.Train][7*i+2]
		thumbnail := make([]int, len(look.Thumbnail))
		for c, x := range look.Thumbnail {
			thumbnail[c] = x + int(math.Round(noise*s.Normal()))
		}
		look.Thumbnail = thumbnail
		r.Fingerprint.Sets[run.Validation][i] = look
	}
	return r
}

// alike leaves little of what tells the images apart.
func alike(r *run.Run) *run.Run {
	first := r.Fingerprint.Sets[run.Train][0].Thumbnail
	for _, looks := range r.Fingerprint.Sets {
		for i := range looks {
			thumbnail := make([]int, len(first))
			for c, x := range looks[i].Thumbnail {
				thumbnail[c] = first[c] + (x-first[c])/8
			}
			looks[i].Thumbnail = thumbnail
		}
	}
	return r
}

// bySite gives every subject a site that a share of each class has, and lets the
// network's output follow it by so much of a logit.
func bySite(seed uint64, n int, share, lean float64) *run.Run {
	r := withoutLooks(cleanRun(seed, n))
	for k, set := range []string{run.Train, run.Validation} {
		subjects := r.Header.Sets[set]
		for i := range subjects {
			aligned := stat.NewStream(seed, "site", uint64(k), uint64(i)).Float64() < share
			subjects[i].Site = "A"
			if aligned == (subjects[i].Class == 1) {
				subjects[i].Site = "B"
			}
		}
		rewritten(r, set, func(_ int, s run.Subject, _ int, row run.Row) run.Row {
			if s.Site == "B" {
				return shifted(row, lean)
			}
			return shifted(row, -lean)
		})
	}
	return r
}

// guessing has memorised its training subjects and knows nothing of others.
func guessing(n int) *run.Run {
	s := cleanScenario(stat.NewStream(8, "planted"))
	s.signal, s.scale, s.memory, s.walk = 0, 1.5, 8, 0.3
	return newCourse(s, 8).run(n, 0)
}

// mislabelled gives a share of the validation subjects the other class.
func mislabelled(n int, share float64) *run.Run {
	s := cleanScenario(stat.NewStream(9, "planted"))
	s.signal, s.scale = 2.5, 5
	r := newCourse(s, 9).run(n, 0)
	subjects := r.Header.Sets[run.Validation]
	for i := range subjects {
		if stat.NewStream(9, "mislabelled", uint64(i)).Float64() < share {
			subjects[i].Class = 1 - subjects[i].Class
		}
	}
	return rewritten(r, run.Validation, func(_ int, _ run.Subject, _ int, row run.Row) run.Row { return row })
}

// weighted records an objective in which class 1 counts so many times as much, as
// of the training subjects' own losses, and a network that follows it or does not.
func weighted(n int, weight float64, followed bool) *run.Run {
	r := cleanRun(10, n)
	for _, set := range []string{run.Train, run.Validation} {
		rewritten(r, set, func(t int, _ run.Subject, _ int, row run.Row) run.Row {
			if followed {
				return shifted(row, math.Log(weight))
			}
			return shifted(row, math.Sin(float64(t)))
		})
	}
	for t := range r.Epochs {
		clean := r.Epochs[t].Evaluation(run.Deterministic, run.Train)
		objective, plain := weightedLoss(r.Header.Sets[run.Train], clean.Probabilities, weight)
		r.Epochs[t].Evaluation(run.Logged, run.Train).Loss = run.Float(plain * 1.2)
		objective *= run.Float(1.2)
		r.Epochs[t].Objective = &objective
	}
	return r
}

func weightedLoss(subjects []run.Subject, rows []run.Row, weight float64) (objective run.Float, plain float64) {
	sum, weights := 0.0, 0.0
	for i, row := range rows {
		w := 1.0
		if subjects[i].Class == 1 {
			w = weight
		}
		sum, weights, plain = sum+w*loss(row, subjects[i].Class), weights+w, plain+loss(row, subjects[i].Class)/float64(len(rows))
	}
	return run.Float(sum / weights), plain
}

// smoothedObjective records the loss of labels smoothed by a tenth.
func smoothedObjective(r *run.Run) *run.Run {
	for t := range r.Epochs {
		clean := r.Epochs[t].Evaluation(run.Deterministic, run.Train)
		sum := 0.0
		for i, row := range clean.Probabilities {
			class := r.Header.Sets[run.Train][i].Class
			sum += (0.95*loss(row, class) + 0.05*loss(row, 1-class)) / float64(len(clean.Probabilities))
		}
		objective := run.Float(sum)
		r.Epochs[t].Objective = &objective
	}
	return r
}

func weightedValidation(r *run.Run, weight float64) *run.Run {
	for t := range r.Epochs {
		v := r.Epochs[t].Evaluation(run.Logged, run.Validation)
		v.Loss, _ = weightedLoss(r.Header.Sets[run.Validation], v.Probabilities, weight)
	}
	return r
}

func planOf(r *run.Run, plan string) *run.Run {
	r.Plan = []byte(plan)
	return r
}

// sameHalf leaves out the same subjects every epoch.
func sameHalf(r *run.Run) *run.Run {
	for t := range r.Epochs {
		v := r.Epochs[t].Evaluation(run.Logged, run.Validation)
		for i := range v.Probabilities {
			if i%2 == 0 {
				v.Probabilities[i] = nil
			}
		}
	}
	return r
}

// loggedLower lowers the training accuracy as logged.
func loggedLower(r *run.Run, accuracy float64) *run.Run {
	for t := range r.Epochs {
		r.Epochs[t].Evaluation(run.Logged, run.Train).Accuracy = run.Float(accuracy)
	}
	return r
}

// onlyTraining sets the training accuracy, as logged and clean.
func onlyTraining(r *run.Run, accuracy float64) *run.Run {
	loggedLower(r, accuracy)
	for t := range r.Epochs {
		r.Epochs[t].Evaluation(run.Deterministic, run.Train).Accuracy = run.Float(accuracy)
	}
	return r
}

// easierValidation has validation subjects that are told apart better.
func easierValidation(n int) *run.Run {
	s := cleanScenario(stat.NewStream(14, "planted"))
	s.signal, s.scale, s.memory = 0.6, 1, 0
	r := newCourse(s, 14).run(n, 0)
	return rewritten(r, run.Validation, func(_ int, s run.Subject, _ int, row run.Row) run.Row {
		return shifted(row, float64(2*s.Class-1)*4)
	})
}
