package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// A run whose subjects, images, weights and loss have planted mistakes says so, goes
// on to the bytes of one that was never cut short, and can be evaluated; a sheet
// of what it saw is refused.
func TestPlantedMistakes(t *testing.T) {
	cohort, train := tinyTraining(t)
	for _, mistake := range []string{"drop=0.4", "permute_labels=true", "label_noise=0.2", "shortcut=0.9", "leak=0.5", "input_gain=10",
		"input_offset=-1", "validation_gain=2", "validation_offset=1", "initial_gain=1.5", "initial_bias=-0.5", "class_weight=3"} {
		train = append(train, "--set", "mistakes."+mistake)
	}
	folder := t.TempDir()
	whole, short := filepath.Join(folder, "whole"), filepath.Join(folder, "short")
	code, _, stderr := ballast(t, append(train, "--epochs", "3", "--out", whole)...)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	mustBallast(t, append(train, "--epochs", "2", "--out", short)...)
	code, _, stderr = ballast(t, "resume", short, "--epochs", "3", "--threads", "1")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, key := range []string{"drop", "permute_labels", "label_noise", "shortcut", "leak", "input_gain"} {
		if !strings.Contains(stderr, "(mistakes."+key) {
			t.Errorf("no note on %s: %s", key, stderr)
		}
	}
	sameFiles(t, short, contents(t, whole))
	mustBallast(t, "evaluate", short, cohort, "--set", "all", "--quiet")
	if code, _, stderr := ballast(t, "look", short, "--cohort", cohort); code != exitFailed || !strings.Contains(stderr, "plants mistakes in its subjects") {
		t.Errorf("look: exit %d, %s", code, stderr)
	}
}
