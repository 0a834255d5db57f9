package probe

import (
	"context"
	"errors"
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

const (
	crossFolds      = 5 // at most
	crossFoldsQuick = 3
	crossLooks      = 30 // evaluations of a repetition, about
)

var crossValidation = Probe{
	ID:    "cross-validation",
	Title: "repeating the run on other subjects",
	Explain: "How does this training fare on subjects that it does not see? The run is repeated with the subjects of both sets divided anew, so " +
		"that each is held out once. Far more subjects than the validation set has then say how much was learnt by heart, and when the loss turned.",
	Values: []string{"folds", "trained_on", "subjects", "training_accuracy", "training_loss", "accuracy", "loss",
		"lowest_epoch", "lowest_loss", "rise", "rise_low", "rise_high"},
	Cost: func(b *Bench) float64 {
		c := b.crossDivision()
		looks := math.Ceil(float64(len(b.Run.Epochs)) / float64(b.lookEvery()))
		held := samples(&b.Images.Train) + samples(&b.Images.Validation)
		training := b.trained(b.Lab.Units()) * float64(c.trainedOn) / math.Max(1, float64(len(b.Images.Train.Subjects)))
		each := float64(3*training*float64(len(b.Run.Epochs))) + float64(looks*float64(b.Lab.CalibrationImages()))
		return float64(float64(c.folds)*each) + float64(looks*held)
	},
	Run: crossValidate,
}

// A division of all subjects repeats the proportions of the run's own sets as far as
// its folds allow.
type division struct{ folds, trainedOn int }

// crossDivision holds out as many subjects at a time as the validation set has, or
// more where that would take too many folds, and never trains on more subjects than
// the run did.
func (b *Bench) crossDivision() division {
	total, held := b.Images.Pooled(), len(b.Images.Validation.Subjects)
	folds := min(max(2, (total+held/2)/max(1, held)), b.fewer(crossFolds, crossFoldsQuick))
	return division{folds, min(len(b.Images.Train.Subjects), total-(total+folds-1)/folds)}
}

func (b *Bench) lookEvery() int { return max(1, len(b.Run.Epochs)/crossLooks) }

// crossValidate repeats the run with its own plan. Whatever differs between the two
// pipelines of the run plays no part: all subjects are prepared as those of the
// training set are.
func crossValidate(ctx context.Context, b *Bench) (map[string]run.Float, error) {
	d := b.crossDivision()
	s := b.newStudy("probe/cross-validation/subjects", b.Images.Pooled(), d.folds)
	if s.leastOf < 2*d.folds {
		return nil, notApplicable("a class has %d subjects; %d folds need %d", s.leastOf, d.folds, 2*d.folds)
	}
	p := b.Plan
	p.Epochs, p.Views.Every = len(b.Run.Epochs), 0
	fold := s.divide(s.classes, stat.NewStream(b.Plan.Seed, "probe/cross-validation/folds"))
	c := &heldOut{}
	for k := range d.folds {
		inside, outside := s.split(fold, k, d.trainedOn, stat.NewStream(b.Plan.Seed, "probe/cross-validation/inside", uint64(k)))
		images := b.Images.Divided(&p, inside, outside, s.classes)
		course, err := train.RefitCourse(ctx, p, images, b.Threads, b.lookEvery(), b.Worked)
		if errors.Is(err, train.ErrDiverged) {
			return nil, notApplicable("a repetition diverged")
		}
		if err != nil {
			return nil, err
		}
		c.add(course, images.Validation.Subjects)
	}
	values := c.summary()
	values["folds"], values["trained_on"] = run.Float(d.folds), run.Float(d.trainedOn)
	return values, nil
}

// split returns the subjects outside of a fold, at most so many of them, the classes
// in proportion, and those of the fold.
func (s *study) split(fold []int, held, most int, stream *stat.Stream) (inside, outside []int) {
	members, all := map[int][]int{}, 0
	for _, place := range stream.Perm(len(s.subjects)) {
		if number := s.subjects[place]; fold[place] != held {
			members[s.classes[number]] = append(members[s.classes[number]], number)
			all++
		}
	}
	outside, _ = s.held(fold, held)
	for class := range slices.Max(s.classes) + 1 {
		of := members[class]
		inside = append(inside, of[:min(len(of), (len(of)*most+all/2)/all)]...)
	}
	slices.Sort(inside)
	return inside, outside
}

// heldOut gathers what repetitions of a run predict of the subjects held out.
type heldOut struct {
	epochs        []int
	losses, right [][]float64 // of each subject, by look
	classes       []int
	training      float64 // sums over folds and late looks
	trainingLoss  float64
	trainingCount float64
}

// leastLooks is the number of looks from which a course has a turn.
const leastLooks = 10

// late is the index of the first look of the last third of the epochs.
func (h *heldOut) late() int { return 2 * len(h.epochs) / 3 }

func (h *heldOut) add(course []train.Snapshot, subjects []run.Subject) {
	if h.epochs == nil {
		for _, look := range course {
			h.epochs = append(h.epochs, look.Epoch)
		}
	}
	for i, subject := range subjects {
		losses, right := make([]float64, len(course)), make([]float64, len(course))
		for t, look := range course {
			row := look.Validation.Probabilities[i]
			losses[t] = lossOfRow(row, subject.Class)
			if row.Class() == subject.Class {
				right[t] = 1
			}
		}
		h.losses, h.right, h.classes = append(h.losses, losses), append(h.right, right), append(h.classes, subject.Class)
	}
	for _, look := range course[h.late():] {
		h.training += float64(look.Training.Accuracy)
		h.trainingLoss += float64(look.Training.Loss)
		h.trainingCount++
	}
}

// summary returns the mean late accuracies and losses, and where there are looks
// enough how the loss turned.
func (h *heldOut) summary() map[string]run.Float {
	n := float64(len(h.losses))
	accuracy, loss := 0.0, 0.0
	for i := range h.losses {
		accuracy += average(h.right[i][h.late():]) / n
		loss += average(h.losses[i][h.late():]) / n
	}
	values := map[string]run.Float{
		"subjects": run.Float(n), "accuracy": run.Float(accuracy), "loss": run.Float(loss),
		"training_accuracy": run.Float(h.training / h.trainingCount), "training_loss": run.Float(h.trainingLoss / h.trainingCount),
	}
	if len(h.epochs) >= leastLooks {
		h.turn(values)
	}
	return values
}

// turn puts in by how much the late loss of a subject lies above that about the look
// with the lowest loss, which the other half of the subjects chooses, so that the
// choice does not flatter it.
func (h *heldOut) turn(values map[string]run.Float) {
	n := float64(len(h.losses))
	rises, lowest, epoch := h.rises()
	rise, deviation := meanAndDeviation(rises)
	half := stat.StudentQuantile(0.975, n-1) * deviation / math.Sqrt(n)
	values["lowest_epoch"], values["lowest_loss"] = run.Float(epoch), run.Float(lowest)
	values["rise"], values["rise_low"], values["rise_high"] = run.Float(rise), run.Float(rise-half), run.Float(rise+half)
}

// rises are by how much the late loss of each subject lies above its loss over the
// five looks about the lowest one; with that loss and its epoch, means of both halves.
func (h *heldOut) rises() (rises []float64, lowest, epoch float64) {
	half, next := make([]int, len(h.classes)), map[int]int{}
	for i, class := range h.classes {
		half[i] = next[class] % 2
		next[class]++
	}
	rises = make([]float64, len(h.losses))
	for side := range 2 {
		loss, at := h.lowest(half, 1-side)
		lowest += float64(loss / 2)
		epoch += float64(float64(h.epochs[at]) / 2)
		for i, losses := range h.losses {
			if half[i] == side {
				rises[i] = average(losses[h.late():]) - average(about(losses, at))
			}
		}
	}
	return rises, lowest, epoch
}

// lowest is the lowest mean loss of one half of the subjects, averaged over five looks,
// and the look in their middle.
func (h *heldOut) lowest(half []int, side int) (loss float64, at int) {
	curve, members := make([]float64, len(h.epochs)), 0.0
	for i, losses := range h.losses {
		if half[i] != side {
			continue
		}
		members++
		for t, x := range losses {
			curve[t] += x
		}
	}
	loss = math.Inf(1)
	for t := range curve {
		if x := average(about(curve, t)) / members; x < loss {
			loss, at = x, t
		}
	}
	return loss, at
}

// about is the part of a curve within two looks of one.
func about(curve []float64, t int) []float64 {
	return curve[max(0, t-2):min(len(curve), t+3)]
}
