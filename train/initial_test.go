package train

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/net"
)

// tensorsOf reads a file of a run by the names of its tensors.
func tensorsOf(t *testing.T, path string) map[string]net.Tensor {
	t.Helper()
	tensors, _, err := ReadTensors(path)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]net.Tensor{}
	for _, tensor := range tensors {
		named[tensor.Name] = tensor
	}
	return named
}

// startOf trains a run for others to start from and returns its weights' file.
func startOf(t *testing.T, p Plan) string {
	t.Helper()
	p.Seed, p.Epochs = 77, 2
	dir, err := trainInto(t, context.Background(), p, blobs(p, 10, 6, 0), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, filepath.FromSlash(weightsFile[LastWeights]))
}

// begun returns the images of a plan that starts from a file.
func begun(t *testing.T, p Plan, images *Images) *Images {
	t.Helper()
	var err error
	if images.Initial, images.Notes, err = readInitial(&p, p.netConfig(len(images.Classes), 0)); err != nil {
		t.Fatal(err)
	}
	return images
}

// Whatever moves, averages or recalibrates weights, every file of a run holds the
// frozen tensors as they were at the start, and no other tensor.
func TestFrozenTensorsStayInEveryFile(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"adam":                  func(*Plan) {},
		"decoupled decay":       func(p *Plan) { p.Optimizer.Name, p.Optimizer.WeightDecay = "adamw", 0.1 },
		"momentum, decay, clip": func(p *Plan) { p.Optimizer.Name, p.Optimizer.WeightDecay, p.Optimizer.Clip = "sgd", 0.1, 0.5 },
		"rmsprop, accumulated":  func(p *Plan) { p.Optimizer.Name, p.Optimizer.Accumulate = "rmsprop", 2 },
		"swa":                   func(p *Plan) { p.Average = Average{Name: "swa", Start: 0.3} },
		"averaged validation":   func(p *Plan) { p.Validation.Weights = "averaged" },
		"recalibrated":          func(p *Plan) { p.Validation.Recalibrate = true },
		"a norm":                func(p *Plan) { p.Net.Freeze = []string{"block2.norm"} },
		"norm after pooling":    func(p *Plan) { p.Net.Norm, p.Net.Freeze = "batch-after-pool", []string{"block1", "block2.norm"} },
		"group norm":            func(p *Plan) { p.Net.Norm = "group" },
		"the head":              func(p *Plan) { p.Net.Freeze = []string{"head"} },
	} {
		p := smallPlan()
		p.Net.Freeze = []string{"block1"}
		change(&p)
		p.Net.Weights = startOf(t, p)
		start := tensorsOf(t, p.Net.Weights)
		dir, err := trainInto(t, context.Background(), p, begun(t, p, blobs(p, 10, 6, 0)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(values(tensorsOf(t, filepath.Join(dir, filepath.FromSlash(InitialFile)))), values(start)) {
			t.Errorf("%s: %s is not what the plan names", name, InitialFile)
		}
		for _, file := range weightsFile {
			for _, tensor := range tensorsOf(t, filepath.Join(dir, filepath.FromSlash(file))) {
				frozen := slices.ContainsFunc(p.Net.Freeze, func(word string) bool { return strings.HasPrefix(tensor.Name, word+".") })
				same := slices.Equal(tensor.Data, start[tensor.Name].Data)
				if same != frozen {
					t.Errorf("%s: %s of %s: unchanged is %t, frozen is %t", name, tensor.Name, file, same, frozen)
				}
			}
		}
	}
}

// values are the numbers of tensors in the order of the names.
func values(tensors map[string]net.Tensor) []byte {
	var names []string
	for name := range tensors {
		names = append(names, name)
	}
	slices.Sort(names)
	var text bytes.Buffer
	list := []net.Tensor{}
	for _, name := range names {
		list = append(list, tensors[name])
	}
	if err := net.WriteSafetensors(&text, list, nil); err != nil {
		panic(err)
	}
	return text.Bytes()
}

// A network whose head is of another number of classes takes the rest, and what
// is drawn is what the seed draws without a file.
func TestStartWithoutTheHead(t *testing.T) {
	p := smallPlan()
	p.Net.Weights = startOf(t, p)
	p.Net.Freeze = []string{"head.bias"}
	images := blobs(p, 10, 6, 0)
	images.Classes = []string{"a", "b", "c"}
	images = begun(t, p, images)
	notes := strings.Join(images.Notes, "\n")
	for _, want := range []string{"from 10 of the network's 12", "does not give them: head.weight, head.bias", "frozen, though the file does not give them: head.bias", "head.weight (it has shape [2 6], the network needs [3 6])"} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes without %q:\n%s", want, notes)
		}
	}
	trainer, err := newTrainer(p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.pool.Close()
	drawn, err := net.Build(p.netConfig(3, 0), p.Seed, nil)
	if err != nil {
		t.Fatal(err)
	}
	start := tensorsOf(t, p.Net.Weights)
	fresh := map[string]net.Tensor{}
	for _, tensor := range drawn.State(nil) {
		fresh[tensor.Name] = tensor
	}
	for _, n := range []*net.Net{trainer.net, trainer.averaged} {
		for _, tensor := range n.State(nil) {
			want := start[tensor.Name]
			if strings.HasPrefix(tensor.Name, "head.") {
				want = fresh[tensor.Name]
			}
			if !slices.Equal(tensor.Data, want.Data) {
				t.Errorf("%s does not start as it should", tensor.Name)
			}
		}
	}
}

// The same start gives the same bits from the file that the run keeps.
func TestInitialFileGivesTheSameRun(t *testing.T) {
	p := smallPlan()
	p.Net.Freeze = []string{"block1.conv"}
	p.Net.Weights = startOf(t, p)
	first, err := trainInto(t, context.Background(), p, begun(t, p, blobs(p, 10, 6, 0)), Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	p.Net.Weights = filepath.Join(first, filepath.FromSlash(InitialFile))
	second, err := trainInto(t, context.Background(), p, begun(t, p, blobs(p, 10, 6, 0)), Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"epochs.jsonl", "weights/last.safetensors", "weights/averaged.safetensors", InitialFile} {
		if !bytes.Equal(files(t, first)[name], files(t, second)[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestStartRefuses(t *testing.T) {
	p := smallPlan()
	start := startOf(t, p)
	damaged := filepath.Join(t.TempDir(), "damaged.safetensors")
	data, err := os.ReadFile(start)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, data[:len(data)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(*Plan)
		is     error
		want   string
	}{
		{func(p *Plan) { p.Net.Weights = "absent.safetensors" }, os.ErrNotExist, "read weights absent.safetensors: no such file"},
		{func(p *Plan) { p.Net.Weights = damaged }, net.ErrSafetensors, "damaged.safetensors: invalid safetensors"},
		{func(p *Plan) { p.Net.Width = 5 }, nil, `none of the 12 tensors of ` + start + ` fits network "cnn2" (block1.conv.weight: it has shape [3 1 3 3 3], the network needs [5 1 3 3 3])`},
		{func(p *Plan) { p.Net.Freeze = []string{"blok1"} }, ErrPlan, `did you mean "block1"?`},
		{func(p *Plan) { p.Net.Freeze = []string{"block1", "block2", "head"} }, net.ErrFreeze, "nothing of network"},
	} {
		changed := p
		changed.Net.Weights = start
		c.change(&changed)
		_, _, err := readInitial(&changed, changed.netConfig(2, 0))
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

func TestRenameTensors(t *testing.T) {
	named := func(names ...string) (tensors []net.Tensor) {
		for _, name := range names {
			tensors = append(tensors, net.Tensor{Name: name})
		}
		return tensors
	}
	got, err := RenameTensors(named("module.layer1.0.conv1.weight", "module.fc.weight", "head.bias"), []string{"module."},
		[]Rename{{"layer1.0", "group1.block1"}, {"fc", "head"}})
	if err != nil || len(got) != 3 || got[0].Name != "group1.block1.conv1.weight" || got[1].Name != "head.weight" || got[2].Name != "head.bias" {
		t.Errorf("renamed to %v, %v", got, err)
	}
	for _, c := range []struct {
		tensors []net.Tensor
		strip   []string
		renames []Rename
		want    string
	}{
		{named("fc.weight", "head.weight"), nil, []Rename{{"fc", "head"}}, "fc.weight and head.weight would both be called head.weight"},
		{named("fc.weight"), []string{"module."}, nil, `no name begins with "module."`},
		{named("fc.weight"), nil, []Rename{{"f", "g"}, {"fc", "head"}}, `no name begins with "fc"`},
		{nil, []string{"x"}, nil, "no tensors"},
	} {
		if _, err := RenameTensors(c.tensors, c.strip, c.renames); !errors.Is(err, ErrRename) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want ErrRename with %q", err, c.want)
		}
	}
}
