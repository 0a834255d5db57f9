package train

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/kernel"
	"ballast/net"
	"ballast/prep"
	"ballast/run"
)

// Whole runs are compared with bench/pytorch/replay.py, which trains and
// evaluates in all views by itself, in float64. The files in testdata hold the
// plan, the subjects, the initial weights and the order of the images as this
// test exports them, and what PyTorch made of them:
//
//	go test ./train -run TestRunsAgreeWithPyTorch -export DIR
//	python bench/pytorch/replay.py DIR train/testdata

var export = flag.String("export", "", "folder into which to write what bench/pytorch/replay.py starts from")

// replayTolerance bounds the absolute difference of every loss (about 1 nat),
// probability, gradient norm and weight (relative to the largest of its array where
// that is above 1). Accuracies are equal. A step in float32
// differs from one in float64 by some 1e-7, and steps build on each other: the
// largest difference seen after up to 45 steps is 4e-7. Every change of the
// semantics that was tried (the variance divided by n, decay of biases, 10 for 9
// in the moving average) gives more than
// 1e-4 in some run.
const replayTolerance = 1e-5

// replays are small plans that together take every path of the semantics:
// subjects with one to three images, more than two classes, odd sizes,
// statistics from fewer images than there are, uneven last batches.
func replays() map[string]*Plan {
	plan := func(grid []int, network, norm, optimizer string, lr float64) *Plan {
		p := DefaultPlan()
		p.Epochs, p.Batch = 5, 4
		p.Prep.Crop, p.Prep.Grid, p.Prep.Spacing = "none", grid, []float64{1, 1, 1}[:len(grid)]
		p.Augment = Augment{}
		p.Net.Name, p.Net.Width, p.Net.Norm = network, 3, norm
		p.Optimizer.Name, p.Optimizer.LR, p.Optimizer.WeightDecay = optimizer, lr, 0.01
		return &p
	}
	flat := plan([]int{15, 18}, "cnn2", "batch", "adam", 0.003)
	flat.Views.Images = 10
	volumes := plan([]int{5, 9, 10}, "cnn2", "batch", "sgd", 0.01)
	volumes.Net.Momentum, volumes.Views.Decay, volumes.Batch, volumes.Epochs = 0.3, 0.5, 6, 4
	recalibrating := plan([]int{9, 8}, "cnn1", "batch", "adam", 0.003)
	recalibrating.Validation.Recalibrate, recalibrating.Views.Every, recalibrating.Batch, recalibrating.Views.Images = true, 2, 100, 3
	recalibrating.Epochs = 4
	plain := plan([]int{8, 11}, "cnn2", "none", "sgd", 0.01)
	plain.Optimizer.Momentum, plain.Epochs = 0, 2
	weighted := plan([]int{8, 9}, "cnn1", "batch", "sgd", 0.02)
	weighted.Sampling.Draw, weighted.Loss.Weights, weighted.Loss.Smoothing, weighted.Epochs = "balanced", "balanced", 0.1, 3
	mixed := plan([]int{9, 8}, "cnn1", "none", "adam", 0.003)
	mixed.Loss.Name, mixed.Loss.Weights, mixed.Augment.Mixup.Alpha, mixed.Epochs = "focal", "balanced", 0.7, 3
	bags := plan([]int{9, 8}, "cnn2", "batch", "adam", 0.003)
	bags.Net.Pooling, bags.Data.Covariates, bags.Batch, bags.Views.Images, bags.Epochs = "attention", []string{"age", "grade"}, 3, 9, 4
	return map[string]*Plan{"bags": bags, "weighted": weighted, "mixed": mixed, "2d": flat, "3d": volumes, "recalibrating": recalibrating, "plain": plain}
}

// replayImages returns subjects of three classes with one to three images:
// evenly spread numbers, shifted by the class.
func replayImages(p *Plan) *Images {
	config, stream := p.PrepConfig(), uint32(0)
	set := func(name string, subjects int) Set {
		s := Set{Name: name}
		for i := range subjects {
			class := i % 3
			count := 1 + i%4%3
			s.Subjects = append(s.Subjects, run.Subject{ID: fmt.Sprint(name, i), Class: class, Images: count})
			for range count {
				im := &prep.Image{C: 1, D: config.Grid[0], H: config.Grid[1], W: config.Grid[2]}
				im.Data = spread(im.D*im.H*im.W, stream)
				for v := range im.Data {
					im.Data[v] = 4*im.Data[v] + 0.25*float32(class)
				}
				s.Samples = append(s.Samples, Sample{Subject: i, Class: class, Image: im})
				stream++
			}
			if width := len(p.Data.Covariates); width > 0 {
				s.Covariates = append(s.Covariates, spread(width, uint32(1000+len(name)+i)))
			}
		}
		return s
	}
	return &Images{Covariates: anyCovariates(len(p.Data.Covariates)), Classes: []string{"none", "partial", "complete"}, Train: set(run.Train, 14), Validation: set(run.Validation, 7), Test: set(run.Test, 4)}
}

// spread returns multiples of 2^-24 in [-0.5, 0.5), by a hash of the index.
func spread(count int, stream uint32) []float32 {
	values := make([]float32, count)
	for i := range values {
		x := uint32(i)*0x9E3779B9 + stream*0x85EBCA6B + 1
		x = (x ^ x>>16) * 0x7FEB352D
		x = (x ^ x>>15) * 0x846CA68B
		x ^= x >> 16
		values[i] = float32(x>>8)/(1<<24) - 0.5
	}
	return values
}

func TestRunsAgreeWithPyTorch(t *testing.T) {
	for name, p := range replays() {
		t.Run(name, func(t *testing.T) {
			if *export != "" {
				exportReplay(t, filepath.Join(*export, name+".safetensors"), p, replayImages(p))
				return
			}
			compareReplay(t, filepath.Join("testdata", name+".safetensors"), p, replayImages(p))
		})
	}
}

// start is what a run starts from: the initial weights, the order of the training
// images (with attention, subjects) in each epoch, the share and the partners of each
// mixture, the images of the recalibration, and the covariates.
func start(t *testing.T, p *Plan, images *Images) map[string]net.Tensor {
	tr, err := newTrainer(*p, images, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.pool.Close()
	tensors := map[string]net.Tensor{}
	add := func(name string, indices []int) {
		data := make([]float32, len(indices))
		for i, index := range indices {
			data[i] = float32(index)
		}
		tensors[name] = net.Tensor{Name: name, Shape: []int{len(data)}, Data: data}
	}
	for _, tensor := range tr.net.State(nil) {
		tensor.Name = "initial." + tensor.Name
		tensors[tensor.Name] = tensor
	}
	for epoch := 1; epoch <= p.Epochs; epoch++ {
		add(fmt.Sprint("order.", epoch), tr.order(epoch))
	}
	add("calibration", tr.calibration)
	for _, set := range images.sets() {
		if width := images.Covariates.Width(); width > 0 {
			tensors["covariates."+set.Name] = net.Tensor{Name: "covariates." + set.Name, Shape: []int{len(set.Subjects), width}, Data: slices.Concat(set.Covariates...)}
		}
	}
	tr.batch.Data = nil // nothing to blend
	batches := parts(len(images.Train.Samples), p.Batch)
	for number := range p.Epochs * len(batches) {
		part := batches[number%len(batches)]
		tr.batch.N = part.to - part.from
		if m := tr.mix(number); m != nil {
			name := fmt.Sprint("mixture.", number)
			add(name, append([]int{0}, m.partners...))
			tensors[name].Data[0] = float32(m.share)
		}
	}
	return tensors
}

func exportReplay(t *testing.T, file string, p *Plan, images *Images) {
	var tensors []net.Tensor
	for _, tensor := range start(t, p, images) {
		tensors = append(tensors, tensor)
	}
	subjects, err := json.Marshal(Header(*p, images, "").Sets)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	if err := net.WriteSafetensors(&data, tensors, map[string]string{"plan": string(plan), "sets": string(subjects)}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// recording is a Recorder in memory.
type recording struct {
	epochs []run.Epoch
	test   []run.Evaluation
	files  map[string][]byte
	status string
}

func (r *recording) Append(e run.Epoch) error           { r.epochs = append(r.epochs, e); return nil }
func (r *recording) WriteTest(e []run.Evaluation) error { r.test = e; return nil }
func (r *recording) WriteFile(n string, d []byte) error { r.files[n] = slices.Clone(d); return nil }
func (r *recording) WriteFrom(n string, contents func(io.Writer) error) error {
	var file bytes.Buffer
	err := contents(&file)
	r.files[n] = file.Bytes()
	return err
}
func (r *recording) Finish(status string) error { r.status = status; return nil }

// numbers returns everything recorded under the names of replay.py.
func (r *recording) numbers(t *testing.T) map[string][]float32 {
	all := map[string][]float32{}
	add := func(prefix string, evaluations []run.Evaluation) {
		for _, e := range evaluations {
			name := prefix + e.View + "." + e.Set
			all[name] = []float32{float32(e.Loss), float32(e.Accuracy)}
			if e.Probabilities == nil {
				continue
			}
			for _, row := range e.Probabilities {
				if row == nil {
					row = run.Row{-1, -1, -1}
				}
				all[name+".probabilities"] = append(all[name+".probabilities"], row...)
			}
		}
	}
	for _, e := range r.epochs {
		prefix := fmt.Sprintf("epoch%d.", e.Epoch)
		all[prefix+"step"] = []float32{float32(e.Step)}
		if e.Objective != nil {
			all[prefix+"objective"] = []float32{float32(*e.Objective)}
		}
		all[prefix+"gradient_norm"] = []float32{float32(e.GradientNorm)}
		addHealth(all, prefix+"health", e.Health)
		add(prefix, e.Evaluations)
	}
	add("test.", r.test)
	for file, prefix := range map[string]string{run.LastWeightsFile: "last.", run.AveragedWeightsFile: "averaged."} {
		tensors, _, err := net.ReadSafetensors(bytes.NewReader(r.files[file]), int64(len(r.files[file])))
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range tensors {
			all[prefix+tensor.Name] = tensor.Data
		}
	}
	return all
}

// addHealth adds what was watched in an epoch; -1 stands for NaN.
func addHealth(all map[string][]float32, name string, h *run.Health) {
	add := func(name string, values ...run.Float) {
		for _, x := range values {
			if x != x {
				x = -1
			}
			all[name] = append(all[name], float32(x))
		}
	}
	add(name, h.Mixing, h.LossSpread, h.Agreement)
	for _, l := range h.Layers {
		add(name+"."+l.Name, l.Weight, l.Gradient, l.ZeroGradient, l.Update, l.Dead, l.Active, l.Output)
	}
}

func compareReplay(t *testing.T, file string, p *Plan, images *Images) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tensors, _, err := net.ReadSafetensors(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]float32{}
	for _, tensor := range tensors {
		want[tensor.Name] = tensor.Data
	}
	for name, tensor := range start(t, p, images) {
		if !sameNumbers(tensor.Data, want[name]) {
			t.Fatalf("%s is not what %s was made from: export and replay again", name, file)
		}
		delete(want, name)
	}
	r := &recording{files: map[string][]byte{}}
	if err := Train(context.Background(), *p, images, r, Options{}); err != nil {
		t.Fatal(err)
	}
	got := r.numbers(t)
	largest := 0.0
	for name, values := range want {
		difference := distance(got[name], values)
		largest = math.Max(largest, difference)
		if !(difference <= replayTolerance) || strings.HasSuffix(name, "accuracy") && difference > 0 {
			t.Errorf("%s differs by %.2g from PyTorch's (%s path)", name, difference, kernel.Path())
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("PyTorch has no %s", name)
	}
	t.Logf("largest difference %.2g in %d arrays", largest, len(want))
}

func sameNumbers(a, b []float32) bool { return distance(a, b) == 0 }

// distance is the largest difference of two arrays, relative to the largest
// number where that is above 1; infinite if their lengths differ.
func distance(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	difference, scale := 0.0, 1.0
	for i := range a {
		difference = math.Max(difference, math.Abs(float64(a[i])-float64(b[i])))
		scale = math.Max(scale, math.Abs(float64(b[i])))
	}
	return difference / scale
}
