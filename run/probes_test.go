package run

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteProbes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	writeSample(t, dir)
	for _, c := range []struct {
		probes Probes
		want   string
	}{
		{Probes{Epoch: -1}, "epoch is -1"},
		{Probes{Results: []ProbeResult{{}}}, "a probe without a name"},
		{Probes{Results: []ProbeResult{{ID: "mode"}, {ID: "mode"}}}, "probe mode is listed twice"},
		{Probes{Results: []ProbeResult{{ID: "mode", Values: map[string]Float{"\xff": 1}}}}, "probe mode: value"},
	} {
		if err := WriteProbes(dir, &c.probes); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), ProbesFile) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	r, err := Open(dir)
	check(t, err)
	same(t, "probes after refusals", *r.Probes, *sampleProbes())

	check(t, WriteProbes(dir, &Probes{Epoch: 2, Results: []ProbeResult{{ID: "mode"}}}))
	r, err = Open(dir)
	check(t, err)
	same(t, "probes without values", *r.Probes, Probes{Format: Format, Epoch: 2, Results: []ProbeResult{{ID: "mode", Values: map[string]Float{}}}})
	check(t, WriteProbes(dir, &Probes{}))
	r, err = Open(dir)
	check(t, err)
	same(t, "no probes", *r.Probes, Probes{Format: Format, Results: []ProbeResult{}})
	if err := WriteProbes(filepath.Join(dir, "absent"), &Probes{}); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("into no folder: %v", err)
	}
}

func TestProbeValue(t *testing.T) {
	p := sampleProbes()
	p.Results[1].Values["loss_before"] = 1 // of an experiment that was not made
	for _, c := range []struct {
		id, name string
		want     float64
		known    bool
	}{
		{"mode", "train_batch_loss", 0.5, true},
		{"mode", "validation_batch_loss", math.Inf(1), true},
		{"mode", "loss", 0, false},
		{"recalibration", "loss_before", 0, false},
		{"sharpness", "ratio", 0, false},
	} {
		if got, known := p.Result(c.id).Value(c.name); got != c.want || known != c.known {
			t.Errorf("%s %s: %g, %t; want %g, %t", c.id, c.name, got, known, c.want, c.known)
		}
	}
	var none *Probes
	if none.Result("mode") != nil {
		t.Error("a run without experiments has one")
	}
}

// Files of experiments and fingerprints may be missing: another program writes none.
func TestOpenWithoutFingerprintAndProbes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	writeSample(t, dir)
	check(t, os.Remove(filepath.Join(dir, FingerprintFile)))
	check(t, os.Remove(filepath.Join(dir, ProbesFile)))
	r, err := Open(dir)
	check(t, err)
	if r.Fingerprint != nil || r.Probes != nil || len(r.Notes) != 0 {
		t.Errorf("read %+v", r)
	}
}
