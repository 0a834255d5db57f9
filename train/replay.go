package train

import (
	"context"
	"fmt"
	"path/filepath"

	"ballast/cohort"
	"ballast/prep"
	"ballast/run"
)

// Preparation returns the preprocessing of a resolved plan, with what it needs to
// know of the training images fitted on them: that of Load.
func Preparation(ctx context.Context, c *cohort.Cohort, split cohort.Split, p Plan, r Reading) (prep.Config, error) {
	config := p.PrepConfig()
	fitted, err := fit(ctx, config, trainingImages(c, split), r)
	config.Fitted = fitted
	return config, err
}

// OpenForReplay opens a run of ballast with its plan and its preprocessing, from
// which every image that it was trained on can be made again: prepare it, draw
// with Plan.DrawOf, apply with prep.Apply.
func OpenForReplay(dir string) (*run.Run, Plan, prep.Config, error) {
	r, plan, err := openWithPlan(dir)
	if err != nil {
		return nil, plan, prep.Config{}, err
	}
	config, err := prepConfig(dir, &plan)
	return r, plan, config, err
}

// openWithPlan opens a run with a plan that training could follow.
func openWithPlan(dir string) (*run.Run, Plan, error) {
	r, err := run.Open(dir)
	if err != nil {
		return nil, Plan{}, err
	}
	if r.Plan == nil {
		return nil, Plan{}, fmt.Errorf("read %s: the run has no plan.yaml; only runs trained by ballast can be replayed or resumed", dir)
	}
	plan, err := ReadPlan(r.Plan)
	if err == nil {
		err = plan.Validate()
	}
	if err == nil {
		err = plan.checkAugment(r.Header.Classes)
	}
	if err != nil {
		return nil, plan, fmt.Errorf("read %s: %w", filepath.Join(dir, "plan.yaml"), err)
	}
	return r, plan, nil
}
