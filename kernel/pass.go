package kernel

import "sync"

// A pass is the operands of one parallel pass over tensors. Passes are lent and
// given back, so that a training step allocates nothing.
type pass struct {
	a, b, c      Shape
	x, y, z      []float32
	scale, shift []float32
	gradient     *NormGradient
	activation   Activation
	do           func(p *pass, task int)
	task         func(task int)
}

var passes struct {
	lock   sync.Mutex
	unused []*pass
}

// newPass returns a pass that runs do for each task.
func newPass(do func(p *pass, task int)) *pass {
	passes.lock.Lock()
	defer passes.lock.Unlock()
	var p *pass
	if last := len(passes.unused) - 1; last >= 0 {
		p = passes.unused[last]
		passes.unused = passes.unused[:last]
	} else {
		p = new(pass)
		p.task = func(task int) { p.do(p, task) }
	}
	p.do = do
	return p
}

// run runs the tasks and gives the pass back.
func (p *pass) run(pool *Pool, tasks int) {
	pool.Run(tasks, p.task)
	task := p.task
	*p = pass{task: task}
	passes.lock.Lock()
	defer passes.lock.Unlock()
	passes.unused = append(passes.unused, p)
}

// planes returns the number of tasks of a pass over the planes (n, block, d) of
// tensors of the same volume.
func planes(shapes ...Shape) int {
	for _, s := range shapes {
		if !sameVolume(s, shapes[0]) || s.Lanes != Lanes {
			panic("kernel: tensors of different volume, or not in blocks of 16")
		}
	}
	return shapes[0].N * shapes[0].Blocks() * shapes[0].D
}

// row returns row h of plane (n, block, d), without its halo.
func (s *Shape) row(data []float32, plane, h int) []float32 {
	length := s.RowLen()
	return data[(plane*s.H+h)*length+s.Halo*s.Lanes:][:s.W*s.Lanes]
}

// block returns the first channel of a plane's block.
func (s *Shape) block(plane int) int { return plane / s.D % s.Blocks() * Lanes }
