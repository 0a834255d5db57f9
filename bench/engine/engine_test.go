package engine

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ballast/kernel"
	"ballast/net"
)

// tiny is a network that runs in microseconds.
func tiny(id, norm string) Network {
	return Network{ID: id, About: "tiny", Batch: 2,
		Config: net.Config{Name: "cnn4", Dims: 2, Channels: 1, Size: [3]int{1, 16, 16}, Classes: 2, Width: 4, Norm: norm, Momentum: 0.1}}
}

func TestMeasure(t *testing.T) {
	applied := tiny("T3", "batch")
	applied.Inference = true
	var lines []string
	last := 0.0
	report, err := Measure(context.Background(), Options{
		Networks: []Network{tiny("T1", "batch"), tiny("T2", "none"), applied}, Threads: 2, Time: 4 * time.Second, // much more than they need, on a busy machine too
		Progress: func(share float64, line string) {
			if share < last || share > 1 {
				t.Errorf("progress from %g to %g", last, share)
			}
			last = share
			lines = append(lines, line)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Networks) != 3 || len(lines) != 4 || last != 1 {
		t.Fatalf("%d networks, %d lines of progress up to %g", len(report.Networks), len(lines), last)
	}
	if q := report.PeakQuartiles; !(q[0] > 0) || !(q[0] <= report.Peak) || !(report.Peak <= q[1]) {
		t.Errorf("peak %g, quartiles %g", report.Peak, q)
	}
	for _, r := range report.Networks {
		if r.Samples < 1 || !(r.StepMS > 0) || !(r.LeastStepMS <= r.StepMS) {
			t.Errorf("%s: %d samples, median %g, least %g ms", r.ID, r.Samples, r.StepMS, r.LeastStepMS)
		}
		if want := float64(r.FLOPs) / r.StepMS / 1e6; !(math.Abs(r.GFLOPS-want) <= 1e-9*want) {
			t.Errorf("%s: %g GFLOP/s, want %g", r.ID, r.GFLOPS, want)
		}
		if want := r.GFLOPS / report.Peak; r.FractionOfPeak != want {
			t.Errorf("%s: fraction %g, want %g", r.ID, r.FractionOfPeak, want)
		}
	}
	// 2 images, taps 9: 4 channels at 16 x 16, 8 at 8 x 8, 16 at 4 x 4, 32 at 2 x 2, and the dense layer.
	forward := int64(2 * 2 * (9*(4*256+4*8*64+8*16*16+16*32*4) + 2*32))
	if got := report.Networks[2].FLOPs; got != forward {
		t.Errorf("forward pass of %d FLOPs, want %d", got, forward)
	}
	if got, want := report.Networks[0].FLOPs, 3*forward-2*2*9*4*256; got != want {
		t.Errorf("step of %d FLOPs, want %d", got, want)
	}
	var text strings.Builder
	if err := report.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"T2", kernel.Path(), runtime.Version()} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
}

func TestLayers(t *testing.T) {
	pool := kernel.NewPool(2)
	defer pool.Close()
	m := &measurement{ctx: context.Background(), options: Options{Networks: []Network{tiny("T1", "batch"), tiny("T2", "none")}},
		all: pool, peaks: [2]*Peak{NewPeak(pool)}, report: &Report{Peak: 1}, deadline: time.Now().Add(time.Hour)}
	if err := m.layers(); err != nil {
		t.Fatal(err)
	}
	layers := m.report.Layers // once, since both networks have the same
	if len(layers) != 4 {
		t.Fatalf("%d layers, want 4", len(layers))
	}
	if layers[0].BackwardData != 0 || !(layers[3].BackwardData > 0) || !(layers[3].Forward > 0) || !(layers[3].BackwardWeights > 0) {
		t.Errorf("layers %+v", layers)
	}
	if want := "2 x 4→8, 8x8, kernel 3x3"; layers[1].Shape != want {
		t.Errorf("second layer %q, want %q", layers[1].Shape, want)
	}
	var text strings.Builder
	if err := m.report.Text(&text); err != nil || !strings.Contains(text.String(), "T1 block4.conv") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

func TestMeasureLeavesOutWhatDoesNotFit(t *testing.T) {
	report, err := Measure(context.Background(), Options{Networks: []Network{tiny("T1", "none"), tiny("T2", "none")}, Threads: 1, Time: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Networks) != 1 || len(report.LeftOut) != 1 || report.LeftOut[0] != "T2" {
		t.Errorf("%d networks, left out %v", len(report.Networks), report.LeftOut)
	}
	var text strings.Builder
	if err := report.Text(&text); err != nil || !strings.Contains(text.String(), "lack of time: T2.") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

func TestMeasureEndsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Measure(ctx, Options{Networks: []Network{tiny("T1", "none")}, Threads: 1, Time: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestReferencesCanBeBuilt(t *testing.T) {
	seen := map[string]bool{}
	for _, n := range References() {
		if err := n.Config.Check(); err != nil {
			t.Errorf("%s: %v", n.ID, err)
		}
		if seen[n.ID] {
			t.Errorf("%s twice", n.ID)
		}
		seen[n.ID] = true
	}
	for _, id := range []string{"R1", "R1-nobn", "R2", "R2-nobn", "R3", "R3-nobn", "R5"} {
		if !seen[id] {
			t.Errorf("no %s", id)
		}
	}
	chosen, unknown := Select(References(), []string{"R5", "R0", "R1"})
	if len(chosen) != 2 || chosen[0].ID != "R1" || len(unknown) != 1 || unknown[0] != "R0" {
		t.Errorf("chosen %v, unknown %v", chosen, unknown)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := Median(c.values); got != c.want {
			t.Errorf("median of %v is %g, want %g", c.values, got, c.want)
		}
	}
}

func TestMarkdown(t *testing.T) {
	var text strings.Builder
	MarkdownTable(&text, 1, func(row func(cells ...string)) {
		row("name", "ms")
		row("a", "$1")
	})
	if want := "| name | ms |\n| --- | --: |\n| a | $1 |\n"; text.String() != want {
		t.Errorf("table %q, want %q", text.String(), want)
	}
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("before\n<!-- table x -->\nold\n<!-- end -->\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Publish(page, "x", text.String()); err != nil {
		t.Fatal(err)
	}
	if got, want := string(must(os.ReadFile(page))), "before\n<!-- table x -->\n"+text.String()+"<!-- end -->\nafter\n"; got != want {
		t.Errorf("page %q, want %q", got, want)
	}
	if err := Publish(page, "y", ""); err == nil {
		t.Error("no error for a table that the page has no place for")
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// TestPeakMemory looks whether memory that is touched shows.
func TestPeakMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc: peak memory is not known here")
	}
	if !ForgetPeakMemory() {
		t.Skip("the peak of memory cannot be reset here")
	}
	before := PeakMemory()
	data := make([]byte, 64<<20)
	for i := 0; i < len(data); i += 4096 {
		data[i] = 1
	}
	grown := PeakMemory() - before
	runtime.KeepAlive(data)
	if grown < 50<<20 {
		t.Errorf("peak memory grew by %d bytes with 64 MiB touched, from %d", grown, before)
	}
}
