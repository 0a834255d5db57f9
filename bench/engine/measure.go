package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"ballast/kernel"
	"ballast/net"
)

// Options say what to measure.
type Options struct {
	Networks []Network
	Threads  int                              // 0 or less for all
	Time     time.Duration                    // to spend: repetitions follow from it; what would not fit at all is left out
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
	fastest  float64 // rate of a network so far, GFLOP/s
}

// errNoTime says that a single step would take longer than the time left, even at
// the best rate so far.
var errNoTime = errors.New("no time left")

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

// networks measures all networks, those of the shortest steps first: on a slow
// machine they tell how many of the others fit.
func (m *measurement) networks() error {
	order, err := bySize(m.options.Networks)
	if err != nil {
		return err
	}
	results := make([]*Result, len(order))
	for i, which := range order {
		n := m.options.Networks[which]
		left := time.Until(m.deadline)
		if m.options.Layers {
			left -= time.Duration(layersShare * float64(m.options.Time))
		}
		r, err := m.network(n, time.Now().Add(left/time.Duration(len(order)-i)))
		if errors.Is(err, errNoTime) {
			continue
		}
		if err != nil {
			return err
		}
		r.summarise()
		m.fastest = max(m.fastest, r.GFLOPS)
		results[which] = &r
		share := float64(i+1) / float64(len(order))
		if m.options.Layers {
			share *= 1 - layersShare
		}
		m.options.Progress(share, r.line())
	}
	for i, r := range results {
		if r == nil {
			m.report.LeftOut = append(m.report.LeftOut, m.options.Networks[i].ID)
		} else {
			m.report.Networks = append(m.report.Networks, *r)
		}
	}
	return nil
}

// bySize returns the places of the networks, that of the fewest FLOPs first.
func bySize(networks []Network) ([]int, error) {
	flops, order := make([]int64, len(networks)), make([]int, len(networks))
	for i, n := range networks {
		built, err := net.Build(n.Config, 1, nil)
		if err != nil {
			return nil, fmt.Errorf("reference network %s: %w", n.ID, err)
		}
		cost := built.Cost(n.Batch)
		order[i], flops[i] = i, cost.StepFLOPs
		if n.Inference {
			flops[i] = cost.ForwardFLOPs
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(flops[a], flops[b]) })
	return order, nil
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
	r.FLOPs = w.FLOPs
	if m.fastest > 0 && float64(w.FLOPs)/m.fastest > float64(time.Until(m.deadline)) {
		return r, errNoTime
	}
	cold := w.Time(1)
	if time.Until(deadline) < 4*cold {
		m.few(&r, w, cold)
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

// fewCold is the longest first step after which others are taken although time
// is short.
const fewCold = 3 * time.Second

// few takes what samples there is time for. The first step also fills memory for
// the first time, so it counts only where it must.
func (m *measurement) few(r *Result, w *Workload, cold time.Duration) {
	if cold > fewCold {
		r.times[0] = []float64{milliseconds(cold)}
		m.probe(r, 0)
		return
	}
	for range 3 {
		m.probe(r, 0)
		r.times[0] = append(r.times[0], milliseconds(w.Time(1)))
	}
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
