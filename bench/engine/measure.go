package engine

import (
	"context"
	"runtime"
	"time"

	"ballast/kernel"
)

// Options say what to measure.
type Options struct {
	Networks []Network
	Threads  int                              // 0 or less for all
	Time     time.Duration                    // to spend: repetitions follow from it, but each network is run at least once
	Layers   bool                             // measure the convolutions one by one, too
	Progress func(share float64, line string) // what was measured last; nil for silence
}

// layersShare is the part of the time that layers get.
const layersShare = 0.2

// A measurement is the work under way.
type measurement struct {
	ctx      context.Context
	options  Options
	all, one *kernel.Pool
	peaks    [2]*Peak // of all threads, of one
	probes   [2][]float64
	report   *Report
	deadline time.Time
}

// Measure runs the networks. It ends early, with the context's error, only
// between steps.
func Measure(ctx context.Context, o Options) (*Report, error) {
	start := time.Now()
	if o.Progress == nil {
		o.Progress = func(float64, string) {}
	}
	m := &measurement{ctx: ctx, options: o, all: kernel.NewPool(o.Threads), one: kernel.NewPool(1), deadline: start.Add(o.Time)}
	defer m.all.Close()
	m.peaks = [2]*Peak{NewPeak(m.all), NewPeak(m.one)}
	m.report = &Report{Machine: ThisMachine(m.all.Workers()), Date: start.UTC().Format(time.DateOnly), Networks: []Result{}}
	if err := m.networks(); err != nil {
		return nil, err
	}
	if o.Layers {
		if err := m.layers(); err != nil {
			return nil, err
		}
	}
	m.report.finish(m.probes)
	o.Progress(1, "")
	return m.report, nil
}

func (m *measurement) networks() error {
	for i, n := range m.options.Networks {
		left := time.Until(m.deadline)
		if m.options.Layers {
			left -= time.Duration(layersShare * float64(m.options.Time))
		}
		r, err := m.network(n, time.Now().Add(left/time.Duration(len(m.options.Networks)-i)))
		if err != nil {
			return err
		}
		r.summarise()
		m.report.Networks = append(m.report.Networks, r)
		share := float64(i+1) / float64(len(m.options.Networks))
		if m.options.Layers {
			share *= 1 - layersShare
		}
		m.options.Progress(share, r.line())
	}
	return nil
}

// leastSample is the least time of a sample; short steps are repeated for it.
const leastSample = 20 * time.Millisecond

// network measures one network until the deadline.
func (m *measurement) network(n Network, deadline time.Time) (Result, error) {
	r := Result{ID: n.ID, About: n.About}
	forgot := ForgetPeakMemory()
	w, err := NewWorkload(n, m.all)
	if err != nil {
		return r, err
	}
	cold := w.Time(1)
	r.FLOPs = w.FLOPs
	if time.Until(deadline) < 4*cold {
		r.times[0] = []float64{milliseconds(cold)}
		m.probe(&r, 0)
		return r, m.ctx.Err()
	}
	r.Allocations = allocations(w)
	if forgot {
		r.PeakBytes = PeakMemory()
	}
	var single *Workload
	if m.all.Workers() > 1 {
		if single, err = NewWorkload(n, m.one); err != nil {
			return r, err
		}
		single.Run()
	}
	m.alternate(&r, w, single, deadline)
	return r, m.ctx.Err()
}

// alternate takes samples of the peak, of all threads twice, of the peak of one
// thread and of one thread, in turns.
func (m *measurement) alternate(r *Result, w, single *Workload, deadline time.Time) {
	repeat := 1 + int(leastSample/(w.Time(1)+1))
	for round := 0; round == 0 || time.Now().Before(deadline) && m.ctx.Err() == nil; round++ {
		for range 2 {
			m.probe(r, 0)
			r.times[0] = append(r.times[0], milliseconds(w.Time(repeat)))
		}
		if single != nil {
			m.probe(r, 1)
			r.times[1] = append(r.times[1], milliseconds(single.Time(repeat)))
		}
	}
}

// probe measures the peak of all threads (0) or of one (1).
func (m *measurement) probe(r *Result, which int) {
	peak := m.peaks[which].Probe()
	m.probes[which] = append(m.probes[which], peak)
	r.probes[which] = append(r.probes[which], peak)
}

// allocations returns how many objects a step allocates. It is the least of a
// few steps, since the runtime allocates now and then for itself.
func allocations(w *Workload) *float64 {
	least := -1.0
	var before, after runtime.MemStats
	for range 2 {
		runtime.ReadMemStats(&before)
		w.Run()
		runtime.ReadMemStats(&after)
		if count := float64(after.Mallocs - before.Mallocs); least < 0 || count < least {
			least = count
		}
	}
	return &least
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
