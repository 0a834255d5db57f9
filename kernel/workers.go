package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A Pool runs tasks on a fixed number of workers, the caller among them. Which
// worker runs a task must never change a result. A Pool may be used by several
// goroutines at once, and by a task itself.
type Pool struct {
	workers int
	jobs    chan *job // nil for one worker
	quit    chan struct{}
	close   sync.Once
}

// A job is one call of Run.
type job struct {
	run      func(task int)
	tasks    int64
	next     atomic.Int64
	pending  sync.WaitGroup
	panicked atomic.Pointer[any]
}

// NewPool starts a pool of that many workers; 0 or less means GOMAXPROCS.
func NewPool(workers int) *Pool {
	if workers < 1 {
		workers = runtime.GOMAXPROCS(0)
	}
	p := &Pool{workers: workers, quit: make(chan struct{})}
	if workers > 1 {
		p.jobs = make(chan *job, workers-1)
		for range workers - 1 {
			go p.work()
		}
	}
	return p
}

// Workers returns the number of workers, the caller of Run included.
func (p *Pool) Workers() int { return p.workers }

// Close ends the workers. A later Run does all tasks in the caller.
func (p *Pool) Close() { p.close.Do(func() { close(p.quit) }) }

func (p *Pool) work() {
	for {
		select {
		case j := <-p.jobs:
			j.help()
		case <-p.quit:
			return
		}
	}
}

// Run calls f(0) ... f(tasks-1), each once, in any order and at the same time,
// and returns when all have returned. A panic in a task panics in the caller
// with the same value, after the other tasks have ended.
func (p *Pool) Run(tasks int, f func(task int)) {
	if tasks < 1 {
		return
	}
	if p.jobs == nil || tasks == 1 {
		for task := range tasks {
			f(task)
		}
		return
	}
	j := &job{run: f, tasks: int64(tasks)}
	j.pending.Add(tasks)
	for range min(p.workers, tasks) - 1 {
		select {
		case p.jobs <- j:
		default: // every worker has something to do: the caller does the rest
		}
	}
	j.help()
	j.pending.Wait()
	if value := j.panicked.Load(); value != nil {
		panic(*value)
	}
}

// help runs tasks of the job until none is left.
func (j *job) help() {
	for {
		task := j.next.Add(1) - 1
		if task >= j.tasks {
			return
		}
		j.runTask(int(task))
	}
}

func (j *job) runTask(task int) {
	defer j.end()
	j.run(task)
}

// end marks a task as done and keeps the value of its panic.
func (j *job) end() {
	if value := recover(); value != nil {
		first := value
		j.panicked.CompareAndSwap(nil, &first)
	}
	j.pending.Done()
}
