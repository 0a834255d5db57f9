package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ballast/phantom"
)

// A run of two sequences is trained from two columns and predicts from two files
// per image.
func TestTwoSequences(t *testing.T) {
	dir := t.TempDir()
	for n, name := range []string{"t1", "flair"} {
		config := phantom.Default().Resized(3, 16)
		config.Seed = uint64(n + 1)
		if err := phantom.Write(context.Background(), filepath.Join(dir, name), config, 12, func(int) {}); err != nil {
			t.Fatal(err)
		}
	}
	var table strings.Builder
	table.WriteString("subject\tt1\tflair\tlabel\n")
	file := func(name string, subject int) string {
		return filepath.Join(dir, name, "images", fmt.Sprintf("sub-%04d_T1w.nii.gz", subject))
	}
	for subject := 1; subject <= 12; subject++ {
		fmt.Fprintf(&table, "s%d\t%s\t%s\t%d\n", subject, file("t1", subject), file("flair", subject), subject%2)
	}
	path := filepath.Join(dir, "study.tsv")
	if err := os.WriteFile(path, []byte(table.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "run")
	mustBallast(t, append([]string{"train", path, "--path", "t1,flair", "--out", out}, quick...)...)
	plan, err := os.ReadFile(filepath.Join(out, "plan.yaml"))
	if err != nil || !strings.Contains(string(plan), "channels: 2") {
		t.Errorf("the plan does not state 2 channels (%v):\n%s", err, plan)
	}
	text := mustBallast(t, "predict", out, file("t1", 1), file("t1", 2), "--also", file("flair", 1), "--also", file("flair", 2))
	if lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) != 3 {
		t.Errorf("predictions of two images:\n%s", text)
	}
	if code, _, stderr := ballast(t, "predict", out, file("t1", 1)); code != exitUsage || !strings.Contains(stderr, "give 1 --also per image") {
		t.Errorf("without the second sequence: exit %d, %s", code, stderr)
	}
	if code, _, stderr := ballast(t, "predict", out, file("t1", 1), "--also", "missing.nii"); code != exitFailed || !strings.Contains(stderr, "missing.nii") {
		t.Errorf("with a missing file: exit %d, %s", code, stderr)
	}
}
