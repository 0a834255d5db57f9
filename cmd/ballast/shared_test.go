package main

import (
	"os"
	"path/filepath"
	"testing"

	"ballast/run"
)

// sharedData returns a folder of the shared data, which exists beside a
// developer's checkout and in CI only.
func sharedData(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("BALLAST_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	path, err := filepath.Abs(filepath.Join(root, "data", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s: shared data absent", name)
	}
	return path
}

// Two real cohorts train with nothing else said than the question needs.
func TestRealCohorts(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 1,300 images: skipped in short mode")
	}
	for _, c := range []struct {
		name                       string
		args                       []string
		classes, train, validation int
		images                     int
	}{
		{"sts-lungmets", []string{"--set", "prep.grid=[16,16,16]"}, 2, 38, 13, 51},
		{"cheng-brain-tumour", []string{"--label", "label", "--subject", "patient_group", "--set", "prep.grid=[32,32]"}, 3, 65, 22, 1221},
	} {
		t.Run(c.name, func(t *testing.T) {
			cohort := sharedData(t, c.name)
			out := filepath.Join(t.TempDir(), "run")
			mustBallast(t, append([]string{"train", cohort, "--out", out, "--epochs", "1", "--net", "cnn2", "--set", "net.width=4", "--quiet"}, c.args...)...)
			r, err := run.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			train, validation := r.Header.Sets[run.Train], r.Header.Sets[run.Validation]
			if len(r.Header.Classes) != c.classes || len(train) != c.train || len(validation) != c.validation {
				t.Errorf("%d classes, %d training and %d validation subjects", len(r.Header.Classes), len(train), len(validation))
			}
			images := 0
			for _, subject := range append(train, validation...) {
				images += subject.Images
			}
			if images != c.images {
				t.Errorf("%d images, want %d", images, c.images)
			}
		})
	}
}
