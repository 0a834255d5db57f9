package train

import (
	"context"
	"fmt"
	"io"

	"ballast/net"
	"ballast/run"
)

// The names of the weights that a run keeps.
const (
	LastWeights     = "last"     // of the logged validation curve after the last recorded epoch
	BestWeights     = "best"     // of that curve after its best epoch; see course.criterion
	AveragedWeights = "averaged" // the average, batch-norm statistics recomputed
)

var weightsFile = map[string]string{
	LastWeights:     run.LastWeightsFile,
	BestWeights:     run.BestWeightsFile,
	AveragedWeights: run.AveragedWeightsFile,
}

// PrepFile is the file of a run with what the preprocessing fitted on the
// training images; see prep.Fitted.
const PrepFile = "prep.json"

// recordStart writes what a run holds before its first epoch.
func (t *trainer) recordStart(recorder Recorder) error {
	if t.images.Fitted != nil {
		if err := recorder.WriteFile(PrepFile, t.images.Fitted.JSON()); err != nil {
			return err
		}
	}
	if t.images.Covariates != nil {
		if err := recorder.WriteFile(CovariatesFile, t.images.Covariates.JSON()); err != nil {
			return err
		}
	}
	text, err := t.fingerprint().Encode()
	if err == nil {
		err = recorder.WriteFile(run.FingerprintFile, text)
	}
	if err != nil {
		return err
	}
	return t.recordInitial(recorder)
}

// save writes the weights of the epoch just finished: those of the logged
// validation curve as the last and, where they are, as the best ones, and the
// averaged ones where their batch-norm statistics were recomputed for all views.
// The checkpoint follows once everything else of the epoch is on the disk.
func (t *trainer) save(recorder Recorder, best bool) error {
	t.state, t.mean = t.net.State(t.state), t.averaged.State(t.mean)
	logged := t.state
	if t.plan.logsAveraged() {
		logged = t.mean
	}
	if best {
		if err := t.saveWeights(recorder, BestWeights, logged); err != nil {
			return err
		}
	}
	if err := t.saveWeights(recorder, LastWeights, logged); err != nil {
		return err
	}
	if t.allViews(t.course.epochs) {
		if err := t.saveWeights(recorder, AveragedWeights, t.mean); err != nil {
			return err
		}
	}
	return t.saveCheckpoint(recorder)
}

func (t *trainer) saveWeights(recorder Recorder, name string, weights []net.Tensor) error {
	return recorder.WriteFrom(weightsFile[name], func(w io.Writer) error {
		return net.WriteSafetensors(w, weights, map[string]string{"format": "pt", "step": fmt.Sprint(t.step)})
	})
}

// recordTest evaluates the test set once, after the last epoch: the present weights
// and, where their batch-norm statistics were recomputed, the averaged ones.
func (t *trainer) recordTest(recorder Recorder) error {
	if len(t.images.Test.Samples) == 0 {
		return nil
	}
	evaluate := func(view string) ([]run.Evaluation, error) {
		evaluation, err := t.evaluate(context.Background(), view, &t.images.Test)
		return []run.Evaluation{evaluation}, err
	}
	all, err := evaluate(run.Deterministic)
	if err != nil {
		return err
	}
	if t.plan.logsAveraged() || t.allViews(t.course.epochs) {
		averaged, err := t.withAveraged(func() ([]run.Evaluation, error) { return evaluate(run.Averaged) })
		if err != nil {
			return err
		}
		all = append(all, averaged...)
	}
	return recorder.WriteTest(all)
}

// Header describes a run of the plan on the images.
func Header(p Plan, images *Images, creator string) run.Header {
	h := run.Header{
		Format: run.Format, Creator: creator, Status: run.Running, Planned: p.Epochs, Classes: images.Classes,
		Sets: map[string][]run.Subject{},
	}
	for _, set := range append([]Set{images.Train, images.Validation, images.Test}, images.More...) {
		if len(set.Subjects) > 0 {
			h.Sets[set.Name] = set.Subjects
		}
	}
	return h
}
