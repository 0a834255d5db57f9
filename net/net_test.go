package net

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ballast/kernel"
	"ballast/stat"
)

// smallNet is a 3D network with odd sizes and everything in it.
func smallNet() Config {
	return Config{Name: "cnn2", Dims: 3, Channels: 2, Size: [3]int{7, 9, 10}, Classes: 3, Width: 17, Norm: "batch", Momentum: 0.1, Dropout: 0.3}
}

func build(t testing.TB, c Config, workers int) *Net {
	t.Helper()
	pool := kernel.NewPool(workers)
	t.Cleanup(pool.Close)
	n, err := Build(c, 5, pool)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func images(c Config, count, seed int) *Batch {
	x := &Batch{N: count, C: c.Channels, D: c.Size[0], H: c.Size[1], W: c.Size[2]}
	x.Data = numbers(count*c.Channels*c.Size[0]*c.Size[1]*c.Size[2], seed)
	return x
}

func TestBuildRefuses(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Name = "cnn7" }, "known are cnn1, cnn2, cnn3, cnn4, cnn5, cnn6, vgg11, vgg13, vgg16, resnet10, resnet18, resnet34, linear"},
		{func(c *Config) { c.Name = "" }, "unknown name"},
		{func(c *Config) { c.Dims = 4 }, "4 dimensions"},
		{func(c *Config) { c.Channels = 0 }, "0 input channels"},
		{func(c *Config) { c.Size[1] = 0 }, "7 x 0 x 10 voxels"},
		{func(c *Config) { c.Dims = 2 }, "2D input of depth 7"},
		{func(c *Config) { c.Classes = 1 }, "1 classes"},
		{func(c *Config) { c.Width = 0 }, "width of 0"},
		{func(c *Config) { c.Norm = "layer" }, `"layer"; known are batch, batch-after-pool, group, none`},
		{func(c *Config) { c.Momentum = 0 }, "momentum of 0"},
		{func(c *Config) { c.Momentum = math.NaN() }, "momentum of NaN"},
		{func(c *Config) { c.Dropout = 1 }, "dropout of 1"},
		{func(c *Config) { c.Dropout = math.NaN() }, "dropout of NaN"},
		{func(c *Config) { c.Name = "cnn3" }, "need at least 8 voxels along every axis, the depth has 7"},
		{func(c *Config) { c.Name, c.Size = "cnn4", [3]int{16, 16, 15} }, "the width has 15"},
		{func(c *Config) { c.Depth = 7 }, "depth of 7 blocks; there can be 1 to 6"},
		{func(c *Config) { c.Name, c.Depth = "resnet10", 2 }, "only a cnn has a depth"},
		{func(c *Config) { c.Depth = 3 }, "3 poolings by 2 need at least 8 voxels along every axis, the depth has 7; use fewer blocks"},
		{func(c *Config) { c.Name, c.Size = "vgg11", [3]int{32, 31, 40} }, "5 poolings by 2 need at least 32 voxels along every axis, the height has 31; use a cnn or a resnet"},
		{func(c *Config) { c.Name, c.Size, c.Norm = "vgg16", [3]int{32, 32, 32}, "batch-after-pool" }, "use batch, group or none"},
		{func(c *Config) { c.Name, c.Norm = "resnet18", "none" }, `needs batch or group normalisation, not "none"`},
		{func(c *Config) { c.Norm = "group" }, "normalisation in 0 groups"},
		{func(c *Config) {
			c.Name, c.Size, c.Norm, c.Width, c.Groups = "resnet10", [3]int{16, 17, 9}, "group", 2, 16
		}, "16 channels of a single voxel"},
		{func(c *Config) { c.Activation = "gelu" }, `unknown activation "gelu"; known are relu, leaky-relu`},
		{func(c *Config) { c.Activation, c.Slope = "leaky-relu", 1 }, "slope of 1"},
		{func(c *Config) { c.Activation, c.Slope = "leaky-relu", math.NaN() }, "slope of NaN"},
		{func(c *Config) { c.SpatialDropout = 1 }, "spatial dropout of 1"},
		{func(c *Config) { c.Name, c.Size, c.Width = "vgg16", [3]int{32, 32, 32}, math.MaxInt }, "parameters; the limit is"},
		{func(c *Config) { c.Name, c.Size, c.Width = "vgg16", [3]int{32, 32, 32}, 1024 }, "parameters; the limit is"},
		{func(c *Config) { c.Width = math.MaxInt32 }, "parameters; the limit is"},
		{func(c *Config) { c.Classes = math.MaxInt }, "parameters; the limit is"},
	} {
		config := smallNet()
		c.change(&config)
		_, err := Build(config, 1, nil)
		if !errors.Is(err, ErrConfig) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%+v: error %v, want ErrConfig with %q", config, err, c.want)
		}
	}
}

// Every network that Names lists can be built in 2D and 3D at its smallest size,
// and trained for a step.
func TestEveryNetworkTrains(t *testing.T) {
	for _, name := range Names() {
		for _, dims := range []int{2, 3} {
			c := Config{Name: name, Dims: dims, Channels: 1, Size: [3]int{1, 1, 1}, Classes: 2, Width: 2, Norm: "batch", Momentum: 0.1}
			for axis := 3 - dims; axis < 3; axis++ {
				c.Size[axis] = max(10, 1<<c.poolings())
			}
			n := build(t, c, 2)
			loss := backward(n, images(c, 2, 1), []int{0, 1}, Training)
			if !(loss > 0 && loss < 100) {
				t.Errorf("%s in %dD: loss %g", name, dims, loss)
			}
			for _, p := range n.Params() {
				if norm := norm2(p.Grad)[0]; !(norm > 0) {
					t.Errorf("%s in %dD: gradient of %s has norm %g", name, dims, p.Name, norm)
				}
			}
		}
	}
}

// train takes steps of SGD and returns a hash of all that they gave.
func train(n *Net, c Config, steps int) uint64 {
	hash := fnv.New64a()
	for step := range steps {
		count := 4
		if step == steps-1 {
			count = 3 // the last batch of an epoch
		}
		labels := []int{0, 1, 2, 1}[:count]
		loss := backward(n, images(c, count, 10+step), labels, Training)
		fmt.Fprintf(hash, "%x", math.Float64bits(loss))
		for _, p := range n.Params() {
			for i, g := range p.Grad {
				p.Value[i] -= float32(0.05 * g)
			}
		}
	}
	n.BeginRecalibration()
	n.Forward(images(c, 4, 30), Recalibration, 0)
	n.EndRecalibration()
	for _, tensor := range n.State(nil) {
		for _, v := range tensor.Data {
			fmt.Fprintf(hash, "%x", math.Float32bits(v))
		}
	}
	for _, v := range n.Forward(images(c, 4, 31), Inference, 0) {
		fmt.Fprintf(hash, "%x", math.Float32bits(v))
	}
	return hash.Sum64()
}

// sameBits is what train gives, on every CPU and for any number of workers. It
// changes when the arithmetic changes, which breaks the comparison of runs with
// those of an earlier version: say so in the notes of a release.
var sameBits = []struct {
	config Config
	bits   uint64
}{
	{smallNet(), 0x5c3d8f90f73c68d6},
	{Config{Name: "cnn2", Dims: 2, Channels: 3, Size: [3]int{1, 13, 22}, Classes: 3, Width: 20, Norm: "batch-after-pool", Momentum: 0.1, BlockDropout: 0.2}, 0x5d2249e205e56c1d},
	{Config{Name: "cnn3", Dims: 3, Channels: 1, Size: [3]int{9, 8, 11}, Classes: 3, Width: 5, Norm: "none"}, 0x3f6cc0f8357a72e0},
	{Config{Name: "resnet10", Dims: 3, Channels: 1, Size: [3]int{8, 9, 10}, Classes: 3, Width: 4, Norm: "batch", Momentum: 0.1}, 0x13b74107cfc6ac89},
	{Config{Name: "vgg11", Dims: 2, Channels: 2, Size: [3]int{1, 32, 35}, Classes: 3, Width: 2, Norm: "batch", Momentum: 0.1, SpatialDropout: 0.2}, 0x8dbe8025253ce75b},
	{Config{Name: "vgg13", Dims: 2, Channels: 1, Size: [3]int{1, 33, 32}, Classes: 3, Width: 2, Norm: "group", Groups: 4, Activation: "leaky-relu", Slope: 0.1}, 0x192217adc5f65ea3},
	{Config{Name: "cnn4", Depth: 2, Dims: 2, Channels: 1, Size: [3]int{1, 8, 9}, Classes: 3, Width: 18, Norm: "group", Groups: 6}, 0xc84bcb25e4c28069},
	{Config{Name: "resnet10", Dims: 2, Channels: 1, Size: [3]int{1, 10, 17}, Classes: 3, Width: 3, Norm: "group", Groups: 3, Activation: "leaky-relu", Slope: 0.2, BlockDropout: 0.1}, 0xc645688733be3aca},
	{Config{Name: "cnn2", Dims: 2, Channels: 1, Size: [3]int{1, 18, 17}, Classes: 3, Width: 6, Norm: "none", Activation: "leaky-relu", Slope: 0.01}, 0x62ac6159ac941148},
}

func TestStepsHaveTheSameBitsForAnyNumberOfWorkers(t *testing.T) {
	for _, c := range sameBits {
		for _, workers := range []int{1, 2, 7} {
			if got := train(build(t, c.config, workers), c.config, 4); got != c.bits {
				t.Errorf("%s: %s with %d workers: %#x, want %#x", c.config.Name, kernel.Path(), workers, got, c.bits)
			}
		}
	}
}

// TestStepsHaveTheSameBitsOnEveryPath runs the test above once per
// implementation, each in a process of its own.
func TestStepsHaveTheSameBitsOnEveryPath(t *testing.T) {
	if testing.Short() {
		t.Skip("the generic path takes long: skipped in short mode")
	}
	for _, path := range []string{"generic", "avx2", "avx512", "neon"} {
		command := exec.Command(os.Args[0], "-test.run=^TestStepsHaveTheSameBitsForAnyNumberOfWorkers$")
		command.Env = append(os.Environ(), "BALLAST_CPU="+path)
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", path, err, output)
		}
	}
}

// Two networks of one seed are equal, of two seeds different, and the deviation
// of the weights is He's.
func TestInitialisation(t *testing.T) {
	c := Config{Name: "cnn3", Dims: 3, Channels: 1, Size: [3]int{8, 8, 8}, Classes: 2, Width: 16, Norm: "none"}
	first, again := build(t, c, 1).State(nil), build(t, c, 2).State(nil)
	other, err := Build(c, 6, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, tensor := range first {
		if !slices.Equal(tensor.Data, again[i].Data) {
			t.Errorf("%s differs between two builds of one seed", tensor.Name)
		}
		bias := strings.HasSuffix(tensor.Name, "bias")
		if same := slices.Equal(tensor.Data, other.State(nil)[i].Data); same != bias {
			t.Errorf("%s is the same for two seeds: %v, want %v", tensor.Name, same, bias)
		}
		if !strings.HasSuffix(tensor.Name, "conv.weight") {
			continue
		}
		// The standard error of a deviation of m normal numbers is 1/sqrt(2m) of it.
		fanIn := float64(volume(tensor.Shape[1:]))
		got, want := float64(norm2(tensor.Data)[0])/math.Sqrt(float64(len(tensor.Data))), math.Sqrt(2/fanIn)
		if !(math.Abs(got/want-1) <= 5/math.Sqrt(2*float64(len(tensor.Data)))) {
			t.Errorf("%s has deviation %g, want %g", tensor.Name, got, want)
		}
	}
}

// Dropout keeps what its stream says, scales it up, and passes gradients where
// it kept; Sampling drops, Inference does not.
func TestDropout(t *testing.T) {
	c := smallNet()
	n := build(t, c, 2)
	x := images(c, 3, 1)
	plain := slices.Clone(n.Forward(x, Inference, 9))
	if !slices.Equal(plain, n.Forward(x, Inference, 10)) {
		t.Error("the dropout seed changes inference")
	}
	if slices.Equal(plain, n.Forward(x, Sampling, 9)) {
		t.Error("sampling drops nothing")
	}
	features := n.head.features
	stream := stat.NewStream(9, "dropout/dropout")
	n.Forward(x, Sampling, 9)
	for i := range 3 * features {
		sample, feature := i/features, i%features
		want := float32(0)
		if float64(stream.Uint32At(uint64(i)))/(1<<32) >= c.Dropout {
			want = n.features[sample*n.head.stride+feature] * float32(1/(1-c.Dropout))
		}
		if got := n.head.input[sample*n.head.width+feature]; got != want {
			t.Errorf("feature %d of sample %d is %g after dropout, want %g", feature, sample, got, want)
		}
	}
	n.Forward(x, Training, 9)
	n.Backward(numbers(3*c.Classes, 4))
	for i, keep := range n.head.keep {
		if got := n.gradient[i/features*n.head.stride+i%features]; (got != 0) != keep {
			t.Errorf("feature %d kept %v has gradient %g", i, keep, got)
		}
	}
}

// Padding channels stay zero in values and gradients, whatever the optimiser.
func TestPaddingStaysZero(t *testing.T) {
	c := smallNet()
	for _, norm := range []string{"batch", "none"} {
		c.Norm = norm
		n := build(t, c, 2)
		train(n, c, 3)
		used := map[string]map[int]bool{}
		for _, e := range n.entries() {
			used[e.name] = map[int]bool{}
			e.each(func(_, offset int) { used[e.name][offset] = true })
		}
		for _, p := range n.Params() {
			for i := range p.Value {
				if !used[p.Name][i] && (p.Value[i] != 0 || p.Grad[i] != 0) {
					t.Fatalf("%s: padding at %d has value %g, gradient %g", p.Name, i, p.Value[i], p.Grad[i])
				}
			}
		}
	}
}

func TestStateRoundTrip(t *testing.T) {
	c := smallNet()
	trained, other := build(t, c, 1), build(t, c, 1)
	train(trained, c, 2)
	state := trained.State(nil)
	slices.Reverse(state)
	if err := other.LoadState(state); err != nil {
		t.Fatal(err)
	}
	x := images(c, 2, 3)
	want := slices.Clone(trained.Forward(x, Inference, 0))
	if got := other.Forward(x, Inference, 0); !slices.Equal(got, want) {
		t.Errorf("loaded network gives %v, want %v", got, want)
	}
	third := build(t, c, 1)
	untrained := slices.Clone(third.Forward(x, Inference, 0))
	third.SwapWeights(trained)
	if got := third.Forward(x, Inference, 0); !slices.Equal(got, want) {
		t.Errorf("network with swapped weights gives %v, want %v", got, want)
	}
	if got := trained.Forward(x, Inference, 0); !slices.Equal(got, untrained) {
		t.Errorf("the other network gives %v, want %v", got, untrained)
	}
	statistics := third.Statistics()
	statistics.Mean[0][0] += 100
	if got := third.Forward(x, Inference, 0); !slices.Equal(got, want) {
		t.Error("Statistics is not a copy")
	}
	third.SetStatistics(statistics)
	if got := third.Forward(x, Inference, 0); slices.Equal(got, want) {
		t.Error("SetStatistics has no effect")
	}
}

func TestLoadStateRefuses(t *testing.T) {
	n := build(t, smallNet(), 1)
	before := n.State(nil)
	for _, c := range []struct {
		change func([]Tensor) []Tensor
		want   string
	}{
		{func(s []Tensor) []Tensor { return s[1:] }, `"block1.conv.weight" is missing`},
		{func(s []Tensor) []Tensor { return append(s, s[2]) }, `"block1.norm.bias" is given twice`},
		{func(s []Tensor) []Tensor { return append(s, Tensor{Name: "extra"}) }, `"extra" is unknown to network "cnn2"`},
		{func(s []Tensor) []Tensor { s[0].Shape = []int{17, 2, 3, 9}; return s }, "shape [17 2 3 9]"},
		{func(s []Tensor) []Tensor { s[0].Data = s[0].Data[1:]; return s }, "917 values"},
	} {
		state := n.State(nil)
		for i := range state {
			for j := range state[i].Data {
				state[i].Data[j] += 1
			}
		}
		err := n.LoadState(c.change(state))
		if !errors.Is(err, ErrState) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("error %v, want ErrState with %q", err, c.want)
		}
		for i, tensor := range n.State(nil) {
			if !slices.Equal(tensor.Data, before[i].Data) {
				t.Errorf("%q: %s was changed", c.want, tensor.Name)
			}
		}
	}
}

// The bytes of Cost are what building a network and a first step allocate; the
// rest, up to 7 % of a small network, is what tasks work in.
func TestCostIsWhatIsAllocated(t *testing.T) {
	for _, c := range []Config{
		{Name: "cnn3", Dims: 3, Channels: 1, Size: [3]int{16, 18, 21}, Classes: 3, Width: 17, Norm: "batch", Momentum: 0.1, Dropout: 0.3},
		{Name: "cnn2", Dims: 2, Channels: 20, Size: [3]int{1, 41, 40}, Classes: 2, Width: 16, Norm: "none"},
		{Name: "vgg11", Dims: 2, Channels: 1, Size: [3]int{1, 65, 64}, Classes: 2, Width: 16, Norm: "batch", Momentum: 0.1, SpatialDropout: 0.2},
		{Name: "vgg11", Dims: 2, Channels: 1, Size: [3]int{1, 65, 64}, Classes: 2, Width: 16, Norm: "group", Groups: 8, Activation: "leaky-relu", Slope: 0.1},
		{Name: "vgg13", Dims: 2, Channels: 1, Size: [3]int{1, 65, 64}, Classes: 2, Width: 16, Norm: "none"},
		{Name: "resnet10", Dims: 2, Channels: 1, Size: [3]int{1, 65, 64}, Classes: 2, Width: 16, Norm: "group", Groups: 8},
		{Name: "linear", Dims: 3, Channels: 8, Size: [3]int{8, 8, 8}, Classes: 20},
	} {
		const batch = 5
		x, labels := images(c, batch, 1), make([]int, batch)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n := build(t, c, 1)
		backward(n, x, labels, Training)
		runtime.ReadMemStats(&after)
		cost, got := n.Cost(batch), float64(after.TotalAlloc-before.TotalAlloc)
		if !(math.Abs(got/float64(cost.Bytes)-1) <= 0.07) {
			t.Errorf("%s: cost of %d bytes, %.0f allocated", c.Name, cost.Bytes, got)
		}
		parameters := 0
		for _, tensor := range n.State(nil) {
			if !strings.Contains(tensor.Name, "running") {
				parameters += len(tensor.Data)
			}
		}
		if cost.Parameters != int64(parameters) {
			t.Errorf("%s: cost of %d parameters, the state has %d", c.Name, cost.Parameters, parameters)
		}
	}
}

// The operations of a network that is small enough to count by hand: 2D, one
// block of 2 channels on 4 x 6 pixels of 1 channel: 2 * 2*9 * 24 = 864, then 2
// features to 2 classes: 8. The first layer has no input gradient.
func TestCostCountsOperations(t *testing.T) {
	c := Config{Name: "cnn1", Dims: 2, Channels: 1, Size: [3]int{1, 4, 6}, Classes: 2, Width: 2, Norm: "none"}
	cost := build(t, c, 1).Cost(3)
	if cost.ForwardFLOPs != 3*872 || cost.StepFLOPs != 3*(872+864+16) || cost.Parameters != 18+2+4+2 {
		t.Errorf("cost %+v", cost)
	}
}

// A step allocates no buffer after the first one, nor for a smaller batch.
func TestStepsReuseBuffers(t *testing.T) {
	c := smallNet()
	n := build(t, c, 2)
	dlogits := numbers(4*c.Classes, 1)
	large, small := images(c, 4, 1), images(c, 3, 2)
	step := func(x *Batch) {
		n.Forward(x, Training, 1)
		n.Backward(dlogits[:x.N*c.Classes])
	}
	n.Reserve(4)
	first, second := n.stages[0].(*block), n.stages[1].(*block)
	reserved := &first.out[0]
	step(small)
	step(large)
	if &first.out[0] != reserved {
		t.Error("Reserve did not suffice for its batch")
	}
	buffers := func() []*float32 {
		return []*float32{&n.packed[0], &first.out[0], &second.y[0], &second.dy[0], &n.head.logits[0]}
	}
	before := buffers()
	if count := testing.AllocsPerRun(20, func() { step(small); step(large) }); count > 0 {
		t.Errorf("two steps make %g allocations", count)
	}
	for i, now := range buffers() {
		if now != before[i] {
			t.Errorf("buffer %d was allocated again", i)
		}
	}
}

func TestForwardPanicsOnWrongShape(t *testing.T) {
	n := build(t, smallNet(), 1)
	x := images(smallNet(), 2, 1)
	x.H++
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	n.Forward(x, Inference, 0)
}
