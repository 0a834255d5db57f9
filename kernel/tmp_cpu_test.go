package kernel

import (
	"fmt"
	"syscall"
	"testing"
)

func cpuTime() float64 {
	var r syscall.Rusage
	syscall.Getrusage(1, &r)
	return float64(r.Utime.Sec) + float64(r.Utime.Usec)*1e-6
}

func TestTmpCPU(t *testing.T) {
	pool := NewPool(1)
	for _, c := range benchmarkCases[:4] {
		v := c.conv()
		x, w := make([]float32, v.In.Len()), numbers(v.WeightLen(), 2)
		Pack(pool, numbers(c.n*c.c*v.In.Voxels(), 1), v.In, x)
		y := make([]float32, v.Out.Len())
		dw := make([]float32, len(w))
		best := func(f func()) float64 {
			f()
			b := 1e9
			for range 5 {
				s := cpuTime()
				for range 6 {
					f()
				}
				b = min(b, (cpuTime()-s)/6)
			}
			return b
		}
		fl := float64(v.FLOPs()) / 1e9
		p := best(func() { v.run(pool, x, w, nil, nil, 0, nil) })
		fmt.Printf("%v passing %.2f ms %.1f", c, p*1e3, fl/p)
		p = best(func() { v.BackwardWeights(pool, x, y, dw) })
		fmt.Printf(" weights %.2f ms %.1f", p*1e3, fl/p)
		if v.In.Lanes == Lanes {
			dx := make([]float32, c.shape(0).Len())
			p = best(func() { v.BackwardData(pool, y, w, c.shape(0), dx) })
			fmt.Printf(" data %.2f ms %.1f", p*1e3, fl/p)
		}
		fmt.Println()
	}
}
