package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ballast/train"
)

// --recipe comes after --plan and before every other flag.
func TestRecipeFlag(t *testing.T) {
	cohort := writePhantom(t, 12)
	file := filepath.Join(t.TempDir(), "plan.yaml")
	if err := os.WriteFile(file, []byte("optimizer: {name: sgd, lr: 0.02}\nepochs: 9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	text := mustBallast(t, "train", cohort, "--dry-run", "--quiet", "--plan", file, "--recipe", "steady", "--epochs", "7", "--set", "schedule.warm_up=1")
	plan, err := train.ReadPlan([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if plan.Recipe != "steady" || plan.Optimizer.Name != "adamw" || plan.Validation.Weights != "averaged" || plan.Optimizer.LR != 0.02 || plan.Epochs != 7 || plan.Schedule.WarmUp != 1 {
		t.Errorf("the plan is\n%s", text)
	}
	if code, stdout, stderr := ballast(t, "train", cohort, "--recipe", "calm"); code != exitUsage || stdout != "" || !strings.Contains(stderr, `recipe is "calm"; it can be plain, steady`) {
		t.Errorf("an unknown recipe: exit %d, %q", code, stderr)
	}
}
