package main

import (
	"fmt"
	"strings"
	"time"

	"ballast/bench/engine"
	"ballast/kernel"
)

// A comparison is the work under way.
type comparison struct {
	pool    *kernel.Pool
	peak    *engine.Peak
	torch   *torch
	results []*result
}

// The competitors' names; the last two are formats of compare.py.
const (
	ballast      = "ballast"
	plain        = "plain"
	channelsLast = "channels_last"
)

// A result is the samples of one network: for each competitor the times of all
// steps in ms, and their means by round.
type result struct {
	network engine.Network
	flops   int64
	times   map[string][]float64
	rounds  map[string][]float64
	peaks   []float64
}

// Of every sample: steps that do not count, and those that do. Before ballast's
// the other program's threads are given time to stop waiting for work.
const (
	warm   = 1
	steps  = 2
	settle = 50 * time.Millisecond
)

// network compares one network until the deadline, for one round at least.
func (c *comparison) network(n engine.Network, deadline time.Time) (*result, error) {
	w, err := engine.NewWorkload(n, c.pool)
	if err != nil {
		return nil, err
	}
	if err := c.torch.open(n, c.pool.Workers()); err != nil {
		return nil, err
	}
	r := &result{network: n, flops: w.FLOPs, times: map[string][]float64{}, rounds: map[string][]float64{}}
	w.Run()
	for _, format := range []string{plain, channelsLast} {
		if _, err := c.torch.run(format, 0, 1); err != nil {
			return nil, err
		}
	}
	for round := 0; round == 0 || time.Now().Before(deadline); round++ {
		time.Sleep(settle)
		r.peaks = append(r.peaks, c.peak.Probe())
		r.add(ballast, samples(w))
		for _, format := range []string{plain, channelsLast} {
			times, err := c.torch.run(format, warm, steps)
			if err != nil {
				return nil, err
			}
			r.add(format, times)
		}
	}
	return r, nil
}

func samples(w *engine.Workload) (times []float64) {
	for range warm {
		w.Run()
	}
	for range steps {
		times = append(times, float64(w.Time(1).Nanoseconds())/1e6)
	}
	return times
}

func (r *result) add(competitor string, times []float64) {
	sum := 0.0
	for _, t := range times {
		sum += t
	}
	r.times[competitor] = append(r.times[competitor], times...)
	r.rounds[competitor] = append(r.rounds[competitor], sum/float64(len(times)))
}

// best is the faster of PyTorch's formats.
func (r *result) best() string {
	if engine.Median(r.times[channelsLast]) < engine.Median(r.times[plain]) {
		return channelsLast
	}
	return plain
}

// ratio is the ratio of the medians, with the least and largest quartile of the
// ratios of single rounds.
func (r *result) ratio() (ratio, low, high float64) {
	best := r.best()
	var single []float64
	for i, t := range r.rounds[ballast] {
		single = append(single, t/r.rounds[best][i])
	}
	low, high = engine.Quartiles(single)
	return engine.Median(r.times[ballast]) / engine.Median(r.times[best]), low, high
}

func (r *result) line() string {
	ratio, _, _ := r.ratio()
	return fmt.Sprintf("%s: ballast %.1f ms, PyTorch %.1f ms (%s), ratio %.2f, %d rounds", r.network.ID,
		engine.Median(r.times[ballast]), engine.Median(r.times[r.best()]), r.best(), ratio, len(r.peaks))
}

// table returns the page's table.
func (c *comparison) table(o options) (string, error) {
	ours, theirs, err := memories(o)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	m := engine.ThisMachine(c.pool.Workers())
	fmt.Fprintf(&text, "%s, %d threads, %s; ballast with %s kernels, %s; PyTorch %s (%s); %s.", m.CPU, m.Threads, m.System,
		m.Kernels, m.Go, c.torch.facts.Torch, c.torch.facts.Capability, time.Now().UTC().Format(time.DateOnly))
	var peaks []float64
	for _, r := range c.results {
		peaks = append(peaks, r.peaks...)
	}
	low, high := engine.Quartiles(peaks)
	fmt.Fprintf(&text, " Peak %.0f GFLOP/s (quartiles %.0f to %.0f).", engine.Median(peaks), low, high)
	if engine.Wavers(low, high) {
		text.WriteString(" The machine did other work as well.")
	}
	text.WriteString("\n\n")
	engine.MarkdownTable(&text, 2, c.rows)
	fmt.Fprintf(&text, "\nLargest resident size of a program that runs one step of R1: ballast %.0f MB (%.0f MB before it); PyTorch %.0f MB (%.0f MB with torch imported).\n",
		float64(ours.Peak)/1e6, float64(ours.Imported)/1e6, float64(theirs.Peak)/1e6, float64(theirs.Imported)/1e6)
	return text.String(), nil
}

func (c *comparison) rows(row func(cells ...string)) {
	row("network", "what", "ballast ms", "PyTorch plain ms", "channels_last ms", "ratio (quartiles)", "GFLOP/s", "of the peak", "rounds")
	for _, r := range c.results {
		ratio, low, high := r.ratio()
		median := func(competitor string) float64 { return engine.Median(r.times[competitor]) }
		gflops := float64(r.flops) / median(ballast) / 1e6
		row(r.network.ID, r.network.About, ms(median(ballast)), ms(median(plain)), ms(median(channelsLast)),
			fmt.Sprintf("%.2f (%.2f–%.2f)", ratio, low, high), fmt.Sprintf("%.0f", gflops),
			fmt.Sprintf("%.0f %%", 100*gflops/engine.Median(r.peaks)), fmt.Sprint(len(r.peaks)))
	}
}

func ms(t float64) string { return fmt.Sprintf("%.1f", t) }
