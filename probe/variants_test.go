package probe

import (
	"testing"

	"ballast/run"
	"ballast/train"
)

// TestVariants makes the cheap experiments on runs of every kind: attention over
// several images of a subject, averaged weights, frozen layers, no batch norm, no
// checkpoint.
func TestVariants(t *testing.T) {
	for name, change := range map[string]func(*train.Plan){
		"attention":        func(p *train.Plan) { p.Net.Pooling = "attention" },
		"averaged weights": func(p *train.Plan) { p.Validation.Weights = "averaged" },
		"recalibrated":     func(p *train.Plan) { p.Validation.Recalibrate = true },
		"group norm":       func(p *train.Plan) { p.Net.Norm = "group" },
		"frozen":           func(p *train.Plan) { p.Net.Freeze = []string{"block1"} },
		"linear":           func(p *train.Plan) { p.Net.Name = "linear" },
	} {
		t.Run(name, func(t *testing.T) {
			b := trained(t, 0, func(p *train.Plan) {
				short(p)
				change(p)
			})
			got, err := Run(t.Context(), b, Options{Only: cheap})
			if err != nil {
				t.Fatal(err)
			}
			last := b.Run.Epochs[len(b.Run.Epochs)-1].Evaluation(run.Logged, run.Validation)
			if values := got.Result("training-through-validation").Values; values["validation_validation_loss"] != last.Loss {
				t.Errorf("the logged loss is %g, that of the experiment %g", last.Loss, values["validation_validation_loss"])
			}
			batchNorm := b.Lab.HasBatchNorm()
			for _, result := range got.Results {
				needs := result.ID == "mode" || result.ID == "recalibration"
				if (result.Skipped == "") != (batchNorm || !needs) {
					t.Errorf("%s: %q", result.ID, result.Skipped)
				}
			}
		})
	}
}
