package train

import (
	"bytes"
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

// saveLatest writes the weights of the epoch just finished. The averaged ones
// are written only after their batch-norm statistics were recomputed.
func (t *trainer) saveLatest(recorder Recorder, epoch int) error {
	if err := t.save(recorder, LastWeights, t.net); err != nil || !t.allViews(epoch) {
		return err
	}
	return t.save(recorder, AveragedWeights, t.averaged)
}

func (t *trainer) save(recorder Recorder, name string, n *net.Net) error {
	var file bytes.Buffer
	if err := net.WriteSafetensors(&file, n.State(), map[string]string{"format": "pt", "step": fmt.Sprint(t.step)}); err != nil {
		return fmt.Errorf("write weights %s: %w", name, err)
	}
	return recorder.WriteFile(weightsFile[name], file.Bytes())
}

// recordTest evaluates the test set once, with the last weights and, when their
// statistics are fresh, the averaged ones.
func (t *trainer) recordTest(recorder Recorder) error {
	if len(t.images.Test.Samples) == 0 {
		return nil
	}
	var all []run.Evaluation
	evaluate := func(n *net.Net, view string) error {
		evaluation, err := t.evaluate(context.Background(), n, view, &t.images.Test)
		all = append(all, evaluation)
		return err
	}
	if err := evaluate(t.net, run.Deterministic); err != nil {
		return err
	}
	if t.allViews(t.plan.Epochs) {
		if err := evaluate(t.averaged, run.Averaged); err != nil {
			return err
		}
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
