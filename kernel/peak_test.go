package kernel

import (
	"testing"
	"time"
)

// TestMultiplyAddsCountsItsWork holds the count against the clock: no CPU does
// 64 multiply-adds on whole registers of 16 float32 in a nanosecond, and none
// that runs this takes a microsecond for one.
func TestMultiplyAddsCountsItsWork(t *testing.T) {
	defer func(before string) { path = before }(path)
	for _, path = range paths() {
		const calls = 20
		begin := time.Now()
		flops := MultiplyAdds(calls)
		elapsed := time.Since(begin)
		if flops <= 0 || flops%(calls*2) != 0 {
			t.Errorf("%s: %d additions and multiplications in %d calls", path, flops, calls)
		}
		rate := float64(flops) / elapsed.Seconds()
		if !(rate > 1e6 && rate < 64*32*1e9) {
			t.Errorf("%s: %g additions and multiplications per second", path, rate)
		}
		t.Logf("%s: %.1f GFLOP/s", path, rate/1e9)
	}
}

// TestMultiplyAddsGoAlternates checks the loop's arithmetic: 1.75 - (1.75 - x)
// is x where no bit is lost.
func TestMultiplyAddsGoAlternates(t *testing.T) {
	once, twice := multiplyAddsGo(1, -1, 1.75), multiplyAddsGo(2, -1, 1.75)
	for i, x := range []float32{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8} {
		if want := 1.75 - x; once[i] != want {
			t.Errorf("sum %d after one round is %g, want %g", i, once[i], want)
		}
		if want := 1.75 - (1.75 - x); twice[i] != want {
			t.Errorf("sum %d after two rounds is %g, want %g", i, twice[i], want)
		}
	}
}
