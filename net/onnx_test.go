package net

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// onnxConfigs lists every network in 2D and 3D with every normalisation and
// activation that it can have, at sizes that are odd somewhere.
func onnxConfigs() map[string]Config {
	configs := map[string]Config{}
	for _, name := range Names() {
		for _, dims := range []int{2, 3} {
			for _, norm := range []string{normBatch, normAfterPool, normGroup, normNone} {
				for _, activation := range []string{relu, leakyReLU} {
					c := Config{Name: name, Dims: dims, Channels: 2, Size: [3]int{1, 1, 1}, Classes: 3, Width: 2, Norm: norm, Groups: 2, Momentum: 0.1,
						Activation: activation, Slope: 0.1, Dropout: 0.3, BlockDropout: 0.2, SpatialDropout: 0.1}
					for axis := 3 - dims; axis < 3; axis++ {
						c.Size[axis] = max(9, 1<<c.poolings()) + axis
					}
					if name == linear && (norm != normBatch || activation != relu) {
						continue // it has neither
					}
					if c.Check() == nil {
						configs[fmt.Sprintf("%s-%dd-%s-%s", name, dims, norm, activation)] = c
					}
				}
			}
		}
	}
	shallow := configs["cnn4-3d-batch-relu"]
	shallow.Depth = 2
	configs["cnn4-shallow"] = shallow
	for _, name := range []string{"cnn2", "resnet10", linear} {
		c := configs[name+"-2d-batch-relu"]
		c.Covariates = 4
		configs[name+"-covariates"] = c
		c.Pooling = poolAttention
		configs[name+"-covariates-attention"] = c
		c.Covariates = 0
		configs[name+"-attention"] = c
	}
	return configs
}

// onnxBatch is three images, under attention pooling of one subject, with covariates.
func onnxBatch(c Config) *Batch {
	x, samples := images(c, 3, 77), 3
	if c.Pooling == poolAttention {
		x.Bags, samples = []int{3}, 1
	}
	x.Covariates = numbers(samples*c.Covariates, 78)
	return x
}

// lively returns the network with weights under which every tensor matters: gamma
// of both signs, running statistics far from 0 and 1.
func lively(t *testing.T, c Config) *Net {
	t.Helper()
	n := build(t, c, 2)
	state := n.State(nil)
	for i, tensor := range state {
		if len(tensor.Shape) > 1 {
			continue // drawn by Build
		}
		copy(tensor.Data, numbers(len(tensor.Data), i))
		for k := range tensor.Data {
			if strings.HasSuffix(tensor.Name, "running_var") {
				tensor.Data[k] += 1.25
			} else if strings.HasSuffix(tensor.Name, "norm.weight") && k%3 > 0 {
				tensor.Data[k]++
			}
		}
	}
	if err := n.LoadState(state); err != nil {
		t.Fatal(err)
	}
	return n
}

// decoded is what the test reads of a model, by the field numbers of onnx.proto.
type decoded struct {
	nodes    []string         // OPERATOR name <- inputs
	tensors  map[string][]int // shapes of the initialisers
	elements int              // in the initialisers that are float32
	inputs   []string
	outputs  []string
	metadata map[string]string
	opset    uint64
}

// fields calls f for every field of a message.
func fields(t *testing.T, m []byte, f func(number protowire.Number, whole uint64, data []byte)) {
	t.Helper()
	for len(m) > 0 {
		number, kind, size := protowire.ConsumeTag(m)
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		m = m[size:]
		switch kind {
		case protowire.VarintType:
			whole, size := protowire.ConsumeVarint(m)
			f(number, whole, nil)
			m = m[size:]
		case protowire.BytesType:
			data, size := protowire.ConsumeBytes(m)
			if size < 0 {
				t.Fatal(protowire.ParseError(size))
			}
			f(number, 0, data)
			m = m[size:]
		default:
			size := protowire.ConsumeFieldValue(number, kind, m)
			if size < 0 {
				t.Fatal(protowire.ParseError(size))
			}
			m = m[size:]
		}
	}
}

func decodeONNX(t *testing.T, file []byte) decoded {
	d := decoded{tensors: map[string][]int{}, metadata: map[string]string{}}
	fields(t, file, func(number protowire.Number, _ uint64, data []byte) {
		switch number {
		case 7:
			fields(t, data, func(number protowire.Number, _ uint64, data []byte) { d.graph(t, number, data) })
		case 8:
			fields(t, data, func(_ protowire.Number, whole uint64, _ []byte) { d.opset = whole })
		case 14:
			var pair [3]string
			fields(t, data, func(number protowire.Number, _ uint64, data []byte) { pair[number] = string(data) })
			d.metadata[pair[1]] = pair[2]
		}
	})
	return d
}

func (d *decoded) graph(t *testing.T, number protowire.Number, data []byte) {
	switch number {
	case 1:
		var inputs, outputs []string
		var operator string
		fields(t, data, func(number protowire.Number, _ uint64, data []byte) {
			switch number {
			case 1:
				inputs = append(inputs, string(data))
			case 2:
				outputs = append(outputs, string(data))
			case 4:
				operator = string(data)
			}
		})
		d.nodes = append(d.nodes, operator+" "+strings.Join(outputs, ",")+" <- "+strings.Join(inputs, " "))
	case 5:
		var name string
		var bytes, kind int
		shape := []int{}
		fields(t, data, func(number protowire.Number, whole uint64, data []byte) {
			switch number {
			case 1:
				shape = append(shape, int(whole))
			case 2:
				kind = int(whole)
			case 8:
				name = string(data)
			case 9:
				bytes = len(data)
			}
		})
		size := map[int]int{1: 4, 7: 8}[kind]
		if volume(shape)*size != bytes {
			t.Errorf("%s: shape %v in %d bytes", name, shape, bytes)
		}
		if kind == 1 {
			d.elements += volume(shape)
		}
		d.tensors[name] = shape
	case 11, 12:
		var name string
		fields(t, data, func(number protowire.Number, _ uint64, data []byte) {
			if number == 1 {
				name = string(data)
			}
		})
		if number == 11 {
			d.inputs = append(d.inputs, name)
		} else {
			d.outputs = append(d.outputs, name)
		}
	}
}

func TestWriteONNX(t *testing.T) {
	n := build(t, smallNet(), 1)
	var file bytes.Buffer
	if err := n.WriteONNX(&file, ONNX{Producer: "ballast", Version: "1", Metadata: map[string]string{"classes": "[]"}}); err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := n.WriteONNX(&again, ONNX{Producer: "ballast", Version: "1", Metadata: map[string]string{"classes": "[]"}}); err != nil || !bytes.Equal(again.Bytes(), file.Bytes()) {
		t.Errorf("written again: %v, or other bytes", err)
	}
	d := decodeONNX(t, file.Bytes())
	want := `Conv block1.conv <- image block1.conv.weight
BatchNormalization block1.norm <- block1.conv block1.norm.weight block1.norm.bias block1.norm.running_mean block1.norm.running_var
Relu block1.relu <- block1.norm
MaxPool block1.pool <- block1.relu
Conv block2.conv <- block1.pool block2.conv.weight
BatchNormalization block2.norm <- block2.conv block2.norm.weight block2.norm.bias block2.norm.running_mean block2.norm.running_var
Relu block2.relu <- block2.norm
MaxPool block2.pool <- block2.relu
GlobalAveragePool average <- block2.pool
Flatten features <- average
Gemm head <- features head.weight head.bias
Identity logits <- head
Softmax probabilities <- head`
	if got := strings.Join(d.nodes, "\n"); got != want {
		t.Errorf("nodes:\n%s\nwant:\n%s", got, want)
	}
	if d.opset != 17 || !slices.Equal(d.inputs, []string{"image"}) || !slices.Equal(d.outputs, []string{"logits", "probabilities"}) || d.metadata["classes"] != "[]" {
		t.Errorf("opset %d, inputs %v, outputs %v, metadata %v", d.opset, d.inputs, d.outputs, d.metadata)
	}
	elements := 0
	for _, tensor := range n.State(nil) {
		elements += len(tensor.Data)
		if !slices.Equal(d.tensors[tensor.Name], tensor.Shape) {
			t.Errorf("%s: shape %v, want %v", tensor.Name, d.tensors[tensor.Name], tensor.Shape)
		}
	}
	if d.elements != elements {
		t.Errorf("%d constants, want %d", d.elements, elements)
	}
}

// Every input of a node is made by a node before it, is a constant or the input
// of the whole, and every constant is used: in every network.
func TestONNXGraphsAreSound(t *testing.T) {
	for name, c := range onnxConfigs() {
		var file bytes.Buffer
		if err := build(t, c, 1).WriteONNX(&file, ONNX{}); err != nil {
			t.Fatal(err)
		}
		d := decodeONNX(t, file.Bytes())
		known, used := map[string]bool{}, map[string]bool{}
		for _, input := range d.inputs {
			known[input] = true
		}
		for constant := range d.tensors {
			known[constant] = true
		}
		for _, node := range d.nodes {
			words := strings.Fields(node)
			for _, input := range words[3:] {
				if used[input] = true; !known[input] {
					t.Errorf("%s: %s reads %s, which nothing has made", name, node, input)
				}
			}
			if known[words[1]] {
				t.Errorf("%s: %s is made twice", name, words[1])
			}
			known[words[1]] = true
		}
		for constant := range d.tensors {
			if !used[constant] {
				t.Errorf("%s: %s is not used", name, constant)
			}
		}
	}
}

func TestONNXSizeIsLimited(t *testing.T) {
	if err := checkONNXSize("cnn6", onnxMostNumbers); err != nil {
		t.Error(err)
	}
	if err := checkONNXSize("cnn6", onnxMostNumbers+1); !errors.Is(err, ErrONNX) {
		t.Errorf("error %v, want ErrONNX", err)
	}
}

func TestWriteONNXTellsOfAFullDisk(t *testing.T) {
	if err := build(t, smallNet(), 1).WriteONNX(brokenWriter{}, ONNX{}); !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
}

var errBroken = errors.New("no space left")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

// runONNX reads every NAME.onnx of a folder, checks it where the package onnx is
// installed, and runs it on NAME.image, writing NAME.logits and NAME.probabilities.
const runONNX = `
import os, sys, numpy, onnxruntime
try:
    import onnx
except ImportError:
    onnx = None
folder = sys.argv[1]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 3
for entry in sorted(os.listdir(folder)):
    if not entry.endswith(".onnx"):
        continue
    stem = os.path.join(folder, entry[:-5])
    if onnx:
        onnx.checker.check_model(stem + ".onnx", full_check=True)
    session = onnxruntime.InferenceSession(stem + ".onnx", options, providers=["CPUExecutionProvider"])
    feed = {}
    for value in session.get_inputs():
        numbers = numpy.fromfile(stem + "." + value.name, "<f4")
        feed[value.name] = numbers.reshape([-1] + value.shape[1:])
    for value, result in zip(session.get_outputs(), session.run(None, feed)):
        result.astype("<f4").tofile(stem + "." + value.name)
`

// python returns an interpreter that has the modules, named by BALLAST_PYTHON or
// called python3; without one the test is skipped.
func python(t *testing.T, modules ...string) string {
	t.Helper()
	name := cmp.Or(os.Getenv("BALLAST_PYTHON"), "python3")
	look := "import sys; from importlib.util import find_spec; sys.exit([m for m in sys.argv[1:] if not find_spec(m)] or None)"
	if out, err := exec.Command(name, append([]string{"-c", look}, modules...)...).CombinedOutput(); err != nil {
		t.Skipf("%s lacks one of %v (%v, %.80q): skipped; BALLAST_PYTHON names an interpreter that has them", name, modules, err, out)
	}
	return name
}

// ONNX Runtime computes what Forward computes, for every network.
func TestONNXRuntimeAgrees(t *testing.T) {
	compareWithOthers(t, python(t, "onnxruntime", "numpy"), []string{"-c", runONNX}, func(n *Net, stem string) error {
		var file bytes.Buffer
		err := n.WriteONNX(&file, ONNX{Producer: "ballast"})
		return errors.Join(err, os.WriteFile(stem+".onnx", file.Bytes(), 0o600))
	})
}

// compareWithOthers writes every network and three images for it, has a program
// run them, and compares the logits and probabilities that it writes.
func compareWithOthers(t *testing.T, program string, args []string, write func(n *Net, stem string) error) {
	folder := t.TempDir()
	logits := map[string][]float32{}
	for name, c := range onnxConfigs() {
		n, stem := lively(t, c), filepath.Join(folder, name)
		x := onnxBatch(c)
		writeFloats(t, stem+".image", x.Data)
		writeFloats(t, stem+".covariates", x.Covariates)
		logits[name] = slices.Clone(n.Forward(x, Inference, 0))
		if err := write(n, stem); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(program, append(args, folder)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	worst := 0.0
	for name, c := range onnxConfigs() {
		want := make([]float32, len(logits[name]))
		labels := make([]int, len(want)/c.Classes)
		SoftmaxCrossEntropy(logits[name], labels, c.Classes, want, make([]float32, len(want)))
		difference := largestDifference(readFloats(t, filepath.Join(folder, name+".probabilities")), want)
		if !(difference <= 1e-5) {
			t.Errorf("%s: probabilities differ by %g", name, difference)
		}
		worst = max(worst, difference)
		size := largestDifference(logits[name], make([]float32, len(want)))
		if d := largestDifference(readFloats(t, filepath.Join(folder, name+".logits")), logits[name]); !(d <= 1e-5*max(1, size)) {
			t.Errorf("%s: logits of size %g differ by %g", name, size, d)
		}
		if spread := slices.Max(want) - slices.Min(want); spread < 0.01 {
			t.Errorf("%s: all probabilities are within %g, so that they show nothing", name, spread)
		}
	}
	t.Logf("%d networks: largest difference of a probability %.2g", len(logits), worst)
}

// runTorch loads every NAME.safetensors of a folder by docs/guides/ballast_net.py
// and runs it as runONNX does.
const runTorch = `
import os, sys, numpy, torch
sys.path.insert(0, sys.argv[1])
from ballast_net import network
torch.set_num_threads(1)
folder = sys.argv[2]
for entry in sorted(os.listdir(folder)):
    if not entry.endswith(".safetensors"):
        continue
    stem = os.path.join(folder, entry[:-12])
    net = network(stem + ".safetensors")
    def numbers(name, shape):
        return torch.from_numpy(numpy.fromfile(stem + "." + name, "<f4").reshape([-1] + shape))
    images = numbers("image", [net.config["channels"]] + net.config["size"])
    covariates = numbers("covariates", [net.config["covariates"]]) if net.config["covariates"] else None
    with torch.no_grad():
        logits = net(images, covariates)
    logits.numpy().tofile(stem + ".logits")
    logits.softmax(1).numpy().tofile(stem + ".probabilities")
`

// PyTorch, by the definition that users are given, loads every tensor of every
// network and computes what Forward computes.
func TestPyTorchDefinitionAgrees(t *testing.T) {
	interpreter := python(t, "torch", "safetensors", "numpy")
	guides, err := filepath.Abs(filepath.Join("..", "docs", "guides"))
	if err != nil {
		t.Fatal(err)
	}
	compareWithOthers(t, interpreter, []string{"-B", "-c", runTorch, guides}, func(n *Net, stem string) error {
		var file bytes.Buffer
		err := WriteSafetensors(&file, n.State(nil), map[string]string{"network": n.Config().JSON()})
		return errors.Join(err, os.WriteFile(stem+".safetensors", file.Bytes(), 0o600))
	})
}

func writeFloats(t *testing.T, name string, values []float32) {
	t.Helper()
	var data []byte
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFloats(t *testing.T, name string) []float32 {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, len(data)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return values
}

// largestDifference is NaN where one of the numbers is, infinite for unequal lengths.
func largestDifference(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	worst := 0.0
	for i := range a {
		worst = math.Max(worst, math.Abs(float64(a[i])-float64(b[i])))
	}
	return worst
}
