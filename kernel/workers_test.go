package kernel

import (
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPoolRunsEveryTaskOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		pool := NewPool(workers)
		if pool.Workers() != workers {
			t.Errorf("%d workers, want %d", pool.Workers(), workers)
		}
		for _, tasks := range []int{0, 1, 2, 100} {
			counts := make([]atomic.Int32, tasks)
			pool.Run(tasks, func(task int) { counts[task].Add(1) })
			for task := range counts {
				if n := counts[task].Load(); n != 1 {
					t.Errorf("%d workers: task %d of %d ran %d times", workers, task, tasks, n)
				}
			}
		}
		pool.Close()
	}
}

// A pool serves several callers, and tasks that call it, without a deadlock.
func TestPoolNestedAndShared(t *testing.T) {
	pool := NewPool(3)
	defer pool.Close()
	var total atomic.Int64
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			pool.Run(10, func(int) {
				pool.Run(10, func(int) { total.Add(1) })
			})
		})
	}
	callers.Wait()
	if total.Load() != 400 {
		t.Errorf("%d tasks ran, want 400", total.Load())
	}
}

func TestPoolAfterClose(t *testing.T) {
	pool := NewPool(2)
	pool.Close()
	pool.Close()
	ran := 0
	for range 3 {
		done := atomic.Int64{}
		pool.Run(5, func(int) { done.Add(1) })
		ran += int(done.Load())
	}
	if ran != 15 {
		t.Errorf("%d tasks ran after Close, want 15", ran)
	}
}

func TestPoolPanicSurfaces(t *testing.T) {
	for _, workers := range []int{1, 2} {
		pool := NewPool(workers)
		func() {
			defer func() {
				if value := recover(); value != "task 7" {
					t.Errorf("%d workers: recovered %v, want the value of the task", workers, value)
				}
			}()
			pool.Run(20, func(task int) {
				if task == 7 {
					panic("task 7")
				}
			})
		}()
		pool.Close()
	}
}

// TestGarbageCollectionIsNotStalled collects garbage while convolutions run. A
// goroutine that calls assembly without a point where it can be stopped once
// held a collection up for seconds. Other programs on the machine may hold it up
// as well, so one of several rounds must show that kernels do not.
func TestGarbageCollectionIsNotStalled(t *testing.T) {
	const longest, rounds = 5 * time.Millisecond, 20
	pool := NewPool(2)
	defer pool.Close()
	var passes []func()
	for _, c := range []layerCase{
		{op: "conv", n: 4, c: 32, size: [3]int{16, 32, 32}, channels: 32, kernel: [3]int{3, 3, 3}, stride: [3]int{1, 1, 1}},
		{op: "conv", n: 2, c: 16, size: [3]int{1, 16, 4096}, channels: 32, kernel: [3]int{1, 7, 7}, stride: [3]int{1, 1, 1}}, // long rows
	} {
		for _, pass := range c.passes(pool) {
			passes = append(passes, pass)
		}
	}
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			for _, pass := range passes {
				pass()
			}
		}
	}()
	var waited []time.Duration
	for range rounds {
		before := longestStop()
		for range 10 {
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
		waited = append(waited, longestStop().since(before))
		if waited[len(waited)-1] <= longest {
			break
		}
	}
	stop.Store(true)
	<-done
	if waited[len(waited)-1] > longest {
		t.Errorf("collections waited up to %v for convolutions to stop in each of %d rounds; at most %v", waited, rounds, longest)
	}
}

// stops counts how long collections waited for all goroutines to stop.
type stops struct{ metrics.Float64Histogram }

func longestStop() stops {
	sample := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(sample)
	h := sample[0].Value.Float64Histogram()
	return stops{metrics.Float64Histogram{Counts: slices.Clone(h.Counts), Buckets: slices.Clone(h.Buckets)}}
}

// since returns the lower end of the range of the longest wait after before.
func (s stops) since(before stops) time.Duration {
	for i := len(s.Counts) - 1; i >= 0; i-- {
		if s.Counts[i] > before.Counts[i] {
			return time.Duration(s.Buckets[i] * float64(time.Second))
		}
	}
	return 0
}
