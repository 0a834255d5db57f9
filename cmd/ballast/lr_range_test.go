package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ballast/train"
)

func TestLearningRateRange(t *testing.T) {
	dir := writePhantom(t, 24)
	page := filepath.Join(t.TempDir(), "range.html")
	before := len(readFolder(t, dir))
	args := []string{"lr-range", dir, "--net", "cnn2", "--set", "net.width=4", "--set", "optimizer.accumulate=2", "--steps", "50", "--quiet"}
	text := mustBallast(t, append(args, "--html", page)...)
	if !strings.Contains(text, "1e-3") || !strings.Contains(text, "uggest") || !strings.Contains(text, "*") {
		t.Errorf("the figure and what it says:\n%s", text)
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "|") && len(line) > 101 {
			t.Errorf("a line of the figure is too wide: %q", line)
		}
	}
	if !bytes.Contains(readFile(t, page), []byte("</html>")) {
		t.Error("the page is none")
	}
	var test train.RangeTest
	if err := json.Unmarshal([]byte(mustBallast(t, append(args, "--json")...)), &test); err != nil {
		t.Fatal(err)
	}
	if len(test.Points) < 20 || len(test.Points) > 50 || test.Points[0].Rate != train.RangeLow || (test.Doubt == "") != (test.Suggested > 0) {
		t.Errorf("--json: %d points, suggested %g, doubt %q", len(test.Points), test.Suggested, test.Doubt)
	}
	if after := len(readFolder(t, dir)); after != before {
		t.Errorf("the cohort's folder had %d entries and has %d", before, after)
	}
	if _, err := os.Stat("runs"); err == nil {
		t.Error("a run was recorded")
	}
	if code := execute(context.Background(), args, fullDisk{}, io.Discard); code != exitFailed {
		t.Errorf("on a full disk: exit %d", code)
	}
}

func readFolder(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestLearningRateRangeRefuses(t *testing.T) {
	dir := writePhantom(t, 24)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{}, exitUsage, "one cohort"},
		{[]string{"plan.yaml"}, exitUsage, "--plan plan.yaml"},
		{[]string{dir, "--steps", "3"}, exitUsage, "--steps is 3"},
		{[]string{dir, "--plan", "nowhere.yaml"}, exitUsage, "nowhere.yaml"},
		{[]string{dir + "x"}, exitFailed, "no such file"},
	} {
		code, stdout, stderr := ballast(t, append([]string{"lr-range", "--quiet"}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("lr-range %v: exit %d (want %d), %q, want %q", c.args, code, c.code, stderr, c.want)
		}
	}
	code, stdout, stderr := ballast(t, "lr-range", "--quiet", dir, "--steps", "50", "--net", "cnn1", "--set", "prep.grid=[4,4,4]", "--html", t.TempDir())
	if code != exitFailed || !strings.Contains(stderr, "it is a folder") || !strings.Contains(stdout, "1e-3") {
		t.Errorf("a page that cannot be written: exit %d, %q; what was found is printed all the same: %q", code, stderr, stdout)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if code := execute(ctx, []string{"lr-range", dir, "--quiet"}, io.Discard, io.Discard); code != exitInterrupted {
		t.Errorf("Ctrl-C: exit %d", code)
	}
}
