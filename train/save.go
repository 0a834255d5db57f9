package train

import (
	"context"
	"fmt"

	"ballast/net"
	"ballast/run"
)

// The names of the weights that a run keeps.
const (
	LastWeights     = "last"     // after the last recorded epoch
	BestWeights     = "best"     // after the epoch of the highest logged validation accuracy, the first of equals
	AveragedWeights = "averaged" // the moving average, batch-norm statistics recomputed
)

var weightsFile = map[string]string{
	LastWeights:     run.LastWeightsFile,
	BestWeights:     run.BestWeightsFile,
	AveragedWeights: run.AveragedWeightsFile,
}

// PrepFile is the file of a run with what the preprocessing fitted on the
// training images; see prep.Fitted.
const PrepFile = "prep.json"

// save writes the weights of the epoch just finished. The averaged ones are
// written only after their batch-norm statistics were recomputed.
func (t *trainer) save(recorder Recorder, epoch int, best bool) error {
	if err := t.encode(t.net); err != nil {
		return err
	}
	if best {
		if err := recorder.WriteFile(weightsFile[BestWeights], t.file.Bytes()); err != nil {
			return err
		}
	}
	if err := recorder.WriteFile(weightsFile[LastWeights], t.file.Bytes()); err != nil || !t.allViews(epoch) {
		return err
	}
	if err := t.encode(t.averaged); err != nil {
		return err
	}
	return recorder.WriteFile(weightsFile[AveragedWeights], t.file.Bytes())
}

// encode puts the weights of a network into t.file.
func (t *trainer) encode(n *net.Net) error {
	t.state = n.State(t.state)
	t.file.Reset()
	if err := net.WriteSafetensors(&t.file, t.state, map[string]string{"format": "pt", "step": fmt.Sprint(t.step)}); err != nil {
		return fmt.Errorf("write weights: %w", err)
	}
	return nil
}

// recordTest evaluates the test set once, with the last weights and, when their
// statistics are fresh, the averaged ones.
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
	if t.allViews(t.plan.Epochs) {
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
