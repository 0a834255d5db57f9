package main

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"ballast/bench/engine"
	"ballast/kernel"
	"ballast/net"
)

// quickBenchmark measures a network that runs in microseconds.
func quickBenchmark(asJSON bool) *benchmark {
	return &benchmark{seconds: 1, threads: 2, asJSON: asJSON, quiet: true, all: []engine.Network{{ID: "T1", About: "tiny", Batch: 2,
		Config: net.Config{Name: "cnn2", Dims: 3, Channels: 1, Size: [3]int{8, 8, 8}, Classes: 2, Width: 4, Norm: "batch", Momentum: 0.1}}}}
}

func TestBenchJSON(t *testing.T) {
	var out strings.Builder
	if err := quickBenchmark(true).run(context.Background(), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var report struct {
		Peak     float64 `json:"peak_gflops"`
		Networks []struct {
			ID       string
			Step     float64 `json:"step_ms"`
			GFLOPS   float64
			Fraction float64 `json:"fraction_of_peak"`
		}
		Machine struct{ Kernels string }
	}
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Networks) != 1 || report.Machine.Kernels != kernel.Path() {
		t.Fatalf("%+v", report)
	}
	if n := report.Networks[0]; n.ID != "T1" || !(n.Step > 0) || !(n.GFLOPS > 0) || !(n.Fraction > 0) || !(report.Peak > 0) {
		t.Errorf("%+v", report)
	}
}

func TestBenchText(t *testing.T) {
	var out strings.Builder
	if err := quickBenchmark(false).run(context.Background(), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"T1", "2 threads", kernel.Path() + " kernels", "GFLOP/s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestBenchFlags(t *testing.T) {
	for _, c := range []struct{ flags, want string }{
		{"--networks R1,R9", `unknown network "R9"`},
		{"--networks=", "--networks is empty"},
		{"--seconds 0", "--seconds is 0"},
		{"--threads -1", "--threads is -1"},
		{"R1", "takes no arguments"},
	} {
		code, stdout, stderr := ballast(t, append([]string{"bench"}, strings.Fields(c.flags)...)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("bench %s: exit %d, %q", c.flags, code, stderr)
		}
	}
}
