package engine

import (
	"sync/atomic"
	"time"

	"ballast/kernel"
)

// A Peak measures the rate of fused multiply-adds on all workers of a pool.
type Peak struct {
	pool  *kernel.Pool
	tasks int // of a probe
	flops atomic.Int64
	task  func(task int)
}

const (
	probeTime = 8 * time.Millisecond
	taskCalls = 4 // some 50 µs, so that no worker waits long for the last
)

// NewPeak prepares probes of some 8 ms.
func NewPeak(pool *kernel.Pool) *Peak {
	p := &Peak{pool: pool}
	p.task = func(int) { p.flops.Add(kernel.MultiplyAdds(taskCalls)) }
	p.run(100)
	begin := time.Now()
	p.run(100)
	p.tasks = max(4*pool.Workers(), int(100*probeTime/(1+time.Since(begin))))
	return p
}

// run does that many tasks and returns their FLOPs.
func (p *Peak) run(tasks int) int64 {
	p.flops.Store(0)
	p.pool.Run(tasks, p.task)
	return p.flops.Load()
}

// Probe returns the peak in GFLOP/s as it is now. It first wakes the workers.
func (p *Peak) Probe() float64 {
	p.run(p.tasks/8 + 1)
	begin := time.Now()
	flops := p.run(p.tasks)
	return rate(flops, time.Since(begin))
}

// rate is in GFLOP/s.
func rate(flops int64, d time.Duration) float64 {
	return float64(flops) / float64(max(1, d.Nanoseconds()))
}
