package run

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pythonExample returns the recorder that docs/format/run.md gives.
func pythonExample(t *testing.T) string {
	page, err := os.ReadFile(filepath.Join("..", "docs", "format", "run.md"))
	check(t, err)
	_, rest, found := strings.Cut(string(page), "```python\n")
	code, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("docs/format/run.md has no Python example")
	}
	return code
}

// The example of the format's page is run as it stands there. Its run opens,
// and is what this package writes for the same numbers, to the byte.
func TestPythonExample(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is absent: the example of docs/format/run.md is not run")
	}
	parent := t.TempDir()
	command := exec.Command(python, "-c", pythonExample(t))
	command.Dir = parent
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	dir := filepath.Join(parent, "example-run")
	r, err := Open(dir)
	check(t, err)
	if len(r.Notes) != 0 || len(r.Epochs) != 2 || r.Header.Status != Complete || r.Header.Sets[Validation][0].Site != "Zürich" {
		t.Fatalf("read %+v", r)
	}
	first, second := r.Epochs[0].Evaluation(Logged, Validation), r.Epochs[1].Evaluation(Logged, Validation)
	// By hand: -(ln 0.75 + ln 0.5)/2; 0.5 against 0.5 counts as class 0.
	if loss := 0.49041462650586315; math.Abs(float64(first.Loss)-loss) > 1e-15 || first.Accuracy != 0.5 {
		t.Errorf("epoch 1: loss %v, accuracy %v; want %v and 0.5", first.Loss, first.Accuracy, loss)
	}
	if second.Loss != 0 || second.Accuracy != 1 || second.Probabilities[1] != nil || second.Probabilities[0][0] != 1 {
		t.Errorf("epoch 2: %+v", second)
	}
	if !math.IsNaN(float64(r.Epochs[0].GradientNorm)) || r.Epochs[1].Step != 4 || r.Epochs[1].LearningRate != 0.001 {
		t.Errorf("epoch lines: %+v", r.Epochs)
	}

	own := filepath.Join(parent, "own")
	w, err := Create(own, r.Header, nil)
	check(t, err)
	for _, e := range r.Epochs {
		check(t, w.Append(e))
	}
	check(t, w.Finish(Complete))
	for _, name := range []string{HeaderFile, EpochsFile} {
		theirs, err := os.ReadFile(filepath.Join(dir, name))
		check(t, err)
		ours, err := os.ReadFile(filepath.Join(own, name))
		check(t, err)
		if !bytes.Equal(theirs, ours) {
			t.Errorf("%s of the example:\n%s\nof this package:\n%s", name, theirs, ours)
		}
	}
}

// The section "To the byte" of docs/format/run.md, number by number.
func TestNumbersToTheByte(t *testing.T) {
	for _, c := range []struct {
		x          float64
		wide, slim string // as a Float and in a Row
	}{
		{0, "0", "0"},
		{1, "1", "1"},
		{0.1, "0.1", "0.1"},
		{1.0 / 3, "0.3333333333333333", "0.33333334"},
		{1e-6, "0.000001", "0.000001"},
		{9.999999e-7, "9.999999e-7", "9.999999e-7"},
		{2.5e21, "2.5e+21", "2.5e+21"},
		{1e20, "100000000000000000000", "100000000000000000000"},
		{math.Copysign(0, -1), "-0", "-0"},
		{math.NaN(), `"NaN"`, `"NaN"`},
		{math.Inf(1), `"Infinity"`, `"Infinity"`},
		{math.Inf(-1), `"-Infinity"`, `"-Infinity"`},
	} {
		wide, err := Float(c.x).MarshalJSON()
		check(t, err)
		slim, err := Row{float32(c.x)}.MarshalJSON()
		check(t, err)
		if string(wide) != c.wide || string(slim) != "["+c.slim+"]" {
			t.Errorf("%g is written %s and %s, want %s and [%s]", c.x, wide, slim, c.wide, c.slim)
		}
		var f Float
		var r Row
		check(t, f.UnmarshalJSON(wide))
		check(t, r.UnmarshalJSON(slim))
		if math.Float64bits(float64(f)) != math.Float64bits(c.x) && !math.IsNaN(c.x) ||
			math.Float32bits(r[0]) != math.Float32bits(float32(c.x)) && !math.IsNaN(c.x) {
			t.Errorf("%g reads back as %g and %g", c.x, float64(f), r[0])
		}
	}
}

func TestStringsToTheByte(t *testing.T) {
	header := sampleHeader()
	header.Creator = "\"\\\b\f\n\r\t\x01\x7f<&>é\u2028\u2029"
	dir := filepath.Join(t.TempDir(), "run")
	w, err := Create(dir, header, nil)
	check(t, err)
	check(t, w.Close())
	text, err := os.ReadFile(filepath.Join(dir, HeaderFile))
	check(t, err)
	want := `"creator": "\"\\\b\f\n\r\t\u0001` + "\x7f<&>é" + `\u2028\u2029",` + "\n"
	if !strings.Contains(string(text), want) {
		t.Errorf("%s\nlacks %s", text, want)
	}
	r, err := Open(dir)
	check(t, err)
	if r.Header.Creator != header.Creator {
		t.Errorf("read %q", r.Header.Creator)
	}
}

// The limit of a line in docs/format/run.md.
func TestLineLimit(t *testing.T) {
	h := sampleHeader() // 2 subjects in the largest set, 3 classes
	if got, want := h.maxLine(), int64(64*(4096+32*2*(3+1))); got != want {
		t.Errorf("limit %d, want %d", got, want)
	}
}
