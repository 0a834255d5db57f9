package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A Pool runs tasks on a fixed number of workers, the caller among them. Which
// worker runs a task must never change a result. A Pool may be used by several
// goroutines at once, and by a task itself.
//
// Between two calls a worker looks out for work for a short while before it
// sleeps, since a step of training makes many short calls and to wake a
// sleeping thread takes longer than some of them.
type Pool struct {
	workers int
	jobs    chan *job // nil for one worker
	quit    chan struct{}
	close   sync.Once

	lock   sync.Mutex
	unused []*job
}

// A job is one call of Run.
type job struct {
	run      func(task int)
	tasks    int64
	next     atomic.Int64
	pending  atomic.Int64 // tasks that have not ended, and workers that hold the job
	waiting  atomic.Bool  // the caller sleeps until done
	done     chan struct{}
	panicked atomic.Pointer[any]
}

// lookouts is how often a worker looks before it sleeps: some 50 µs.
const lookouts = 2000

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
		j := p.await()
		if j == nil {
			return
		}
		j.help()
		j.end()
	}
}

// await returns the next job, nil when the pool is closed.
func (p *Pool) await() *job {
	for range lookouts {
		select {
		case j := <-p.jobs:
			return j
		default:
		}
	}
	select {
	case j := <-p.jobs:
		return j
	case <-p.quit:
		return nil
	}
}

// Run calls f(0) ... f(tasks-1), each once, in any order and at the same time,
// and returns when all have returned. A panic in a task panics in the caller
// with the same value, after the other tasks have ended. A function that is
// kept between calls makes Run free of allocations.
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
	j := p.take()
	j.run, j.tasks = f, int64(tasks)
	j.next.Store(0)
	j.pending.Store(int64(tasks))
	p.offer(j, min(p.workers, tasks)-1)
	j.help()
	p.wait(j)
	value := j.panicked.Swap(nil)
	j.run = nil
	p.give(j)
	if value != nil {
		panic(*value)
	}
}

// take lends a job that nobody works on.
func (p *Pool) take() *job {
	p.lock.Lock()
	defer p.lock.Unlock()
	last := len(p.unused) - 1
	if last < 0 {
		return &job{done: make(chan struct{}, 1)}
	}
	j := p.unused[last]
	p.unused = p.unused[:last]
	return j
}

// give takes a job back.
func (p *Pool) give(j *job) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.unused = append(p.unused, j)
}

// offer gives the job to that many workers, or to fewer when all have something
// to do: the caller does the rest.
func (p *Pool) offer(j *job, workers int) {
	for range workers {
		j.pending.Add(1)
		select {
		case p.jobs <- j:
		default:
			j.pending.Add(-1)
			return
		}
	}
}

// wait returns when nobody works on the job any more. Meanwhile it takes what
// is offered to the workers, its own job included, so that no caller waits for
// a worker that is itself waiting.
func (p *Pool) wait(j *job) {
	for looked := 0; j.pending.Load() > 0; looked++ {
		select {
		case other := <-p.jobs:
			other.help()
			other.end()
			continue
		default:
		}
		if looked > 100*lookouts {
			p.sleep(j)
		}
	}
	j.waiting.Store(false)
}

// sleep waits until the job may have ended or another is offered. A job that
// was used before may wake its caller once too often.
func (p *Pool) sleep(j *job) {
	j.waiting.Store(true)
	if j.pending.Load() == 0 {
		return
	}
	select {
	case <-j.done:
	case other := <-p.jobs:
		other.help()
		other.end()
	}
}

// end marks a task as ended, or a worker as gone.
func (j *job) end() {
	if j.pending.Add(-1) == 0 && j.waiting.Swap(false) {
		select {
		case j.done <- struct{}{}:
		default:
		}
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
	defer j.recover()
	j.run(task)
}

// recover ends a task and keeps the value of its panic.
func (j *job) recover() {
	if value := recover(); value != nil {
		first := value
		j.panicked.CompareAndSwap(nil, &first)
	}
	j.end()
}
