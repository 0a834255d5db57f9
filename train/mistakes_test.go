package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"ballast/cohort"
	"ballast/prep"
	"ballast/run"
)

// planted returns blobs with mistakes, and the same without.
func planted(t *testing.T, change func(*Mistakes), sizes ...int) (with, without *Images, p Plan) {
	t.Helper()
	p = smallPlan()
	change(&p.Mistakes)
	with, without = blobs(p, sizes[0], sizes[1], sizes[2]), blobs(p, sizes[0], sizes[1], sizes[2])
	if err := p.Plant(with); err != nil {
		t.Fatal(err)
	}
	return with, without, p
}

func classesOf(s *Set) (classes []int) {
	for _, subject := range s.Subjects {
		classes = append(classes, subject.Class)
	}
	return classes
}

// sound fails where the samples of a set are not those of its subjects in order.
func sound(t *testing.T, s *Set) {
	t.Helper()
	images := make([]int, len(s.Subjects))
	last := 0
	for i, sample := range s.Samples {
		if sample.Subject < last || sample.Subject >= len(s.Subjects) {
			t.Fatalf("set %s: sample %d is of subject %d after %d", s.Name, i, sample.Subject, last)
		}
		last = sample.Subject
		images[last]++
		if sample.Class != s.Subjects[last].Class {
			t.Fatalf("set %s: sample %d has class %d, its subject %d", s.Name, i, sample.Class, s.Subjects[last].Class)
		}
	}
	for i, subject := range s.Subjects {
		if images[i] != subject.Images {
			t.Fatalf("set %s: subject %s has %d images, says %d", s.Name, subject.ID, images[i], subject.Images)
		}
	}
}

func TestNothingIsPlantedByDefault(t *testing.T) {
	with, without, p := planted(t, func(*Mistakes) {}, 6, 4, 2)
	if len(with.Notes) != 0 {
		t.Errorf("notes %q", with.Notes)
	}
	for k, set := range with.sets() {
		for i := range set.Samples {
			if image := set.Samples[i].Image; p.AsTraining(image) != image || p.AsValidation(image) != image || set.Samples[i].Prepared() != image {
				t.Errorf("set %s: image %d is changed", set.Name, i)
			}
			if !slices.Equal(set.Samples[i].Image.Data, without.sets()[k].Samples[i].Image.Data) {
				t.Errorf("set %s: image %d has other voxels", set.Name, i)
			}
		}
		if !slices.Equal(set.Subjects, without.sets()[k].Subjects) {
			t.Errorf("set %s has other subjects", set.Name)
		}
	}
}

func TestPlantPermutedLabels(t *testing.T) {
	with, without, _ := planted(t, func(m *Mistakes) { m.PermuteLabels = true }, 40, 20, 10)
	for k, set := range with.sets() {
		before, after := classesOf(without.sets()[k]), classesOf(set)
		sound(t, set)
		if slices.Equal(before, after) {
			t.Errorf("set %s has its own labels", set.Name)
		}
		slices.Sort(before)
		if slices.Sort(after); !slices.Equal(before, after) {
			t.Errorf("set %s has classes %v, want those of %v", set.Name, after, before)
		}
	}
}

func TestPlantLabelNoise(t *testing.T) {
	with, without, _ := planted(t, func(m *Mistakes) { m.LabelNoise = 0.3 }, 40, 20, 5)
	for k, want := range []int{12, 6, 2} { // 0.3 of 40, 20 and 5, half up
		set, wrong := with.sets()[k], 0
		sound(t, set)
		for i, class := range classesOf(set) {
			if class != without.sets()[k].Subjects[i].Class {
				wrong++
			}
		}
		if wrong != want {
			t.Errorf("set %s has %d wrong labels, want %d", set.Name, wrong, want)
		}
	}
}

func TestPlantRefusals(t *testing.T) {
	p := smallPlan()
	p.Mistakes.LabelNoise = 0.5
	images := blobs(p, 4, 2, 0)
	images.Classes = images.Classes[:1]
	if err := p.Plant(images); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), "needs at least 2 classes") {
		t.Errorf("one class: %v", err)
	}
	p.Mistakes.LabelNoise = 2
	if err := p.Plant(images); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), "mistakes.label_noise is 2") {
		t.Errorf("a share of 2: %v", err)
	}
}

func TestPlantDrop(t *testing.T) {
	with, without, _ := planted(t, func(m *Mistakes) { m.Drop = 0.8 }, 40, 20, 10)
	for k, want := range []int{4, 2, 1} { // of 20, 10 and 5 subjects 16, 8 and 4 are dropped
		set := with.sets()[k]
		sound(t, set)
		if left, others := len(set.members(1)), len(set.members(0)); left != want || others != len(without.sets()[k].members(0)) {
			t.Errorf("set %s has %d of the last class and %d others, want %d and all", set.Name, left, others, want)
		}
		for i, subject := range set.Subjects {
			from, _ := set.bag(i)
			old := slices.IndexFunc(without.sets()[k].Subjects, func(s run.Subject) bool { return s.ID == subject.ID })
			place, _ := without.sets()[k].bag(old)
			if !slices.Equal(set.Samples[from].Image.Data, without.sets()[k].Samples[place].Image.Data) {
				t.Errorf("set %s: subject %s has another one's image", set.Name, subject.ID)
			}
		}
	}
	p := smallPlan()
	p.Mistakes.Drop = 1
	images := blobs(p, 4, 1, 0)
	images.Validation.Subjects[0].Class, images.Validation.Samples[0].Class = 1, 1
	if err := p.Plant(images); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), "leaves nobody in the set validation") {
		t.Errorf("got %v", err)
	}
}

func TestPlantLeak(t *testing.T) {
	with, without, _ := planted(t, func(m *Mistakes) { m.Leak, m.ValidationGain = 0.5, 2 }, 8, 10, 0)
	sound(t, &with.Train)
	if added := len(with.Train.Subjects) - 8; added != 5 {
		t.Fatalf("%d subjects are added, want 5", added)
	}
	for i, subject := range with.Train.Subjects[8:] {
		id, ok := strings.CutSuffix(subject.ID, "-2")
		of := slices.IndexFunc(without.Validation.Subjects, func(s run.Subject) bool { return s.ID == id })
		if !ok || of < 0 || subject.Class != without.Validation.Subjects[of].Class {
			t.Fatalf("%+v is nobody's copy", subject)
		}
		from, to := with.Train.bag(8 + i)
		original, end := without.Validation.bag(of)
		if to-from != end-original {
			t.Fatalf("%s has %d images, want %d", subject.ID, to-from, end-original)
		}
		for n := range to - from { // by the training pipeline, which has no gain
			if !slices.Equal(with.Train.Samples[from+n].Image.Data, without.Validation.Samples[original+n].Image.Data) {
				t.Errorf("%s: image %d is not that of %s", subject.ID, n, id)
			}
		}
	}
}

func TestPlantShortcut(t *testing.T) {
	with, without, _ := planted(t, func(m *Mistakes) { m.Shortcut = 0.9 }, 40, 20, 0)
	for k, set := range with.sets()[:2] {
		sound(t, set)
		for class, usual := range []string{"A", "B"} {
			same, members := 0, set.members(class)
			for _, i := range members {
				if set.Subjects[i].Site == usual {
					same++
				}
			}
			if same*10 != len(members)*9 {
				t.Errorf("set %s: %d of %d subjects of class %d come from %s, want 9 of 10", set.Name, same, len(members), class, usual)
			}
		}
		for i := range set.Samples {
			before, after := without.sets()[k].Samples[i].Image, set.Samples[i].Image
			mean, deviation := spreadOf(before.Data)
			siteMean, siteDeviation := spreadOf(after.Data)
			want, wantDeviation := mean, deviation
			if set.Subjects[set.Samples[i].Subject].Site == "A" {
				want, wantDeviation = mean-0.5*deviation, 0.7*deviation
			}
			if !(math.Abs(siteMean-want) < 1e-5) || !(math.Abs(siteDeviation-wantDeviation) < 1e-5) {
				t.Errorf("set %s: image %d has mean %g and deviation %g, want %g and %g", set.Name, i, siteMean, siteDeviation, want, wantDeviation)
			}
		}
	}
}

func TestPlantPipelines(t *testing.T) {
	with, without, p := planted(t, func(m *Mistakes) {
		m.InputGain, m.InputOffset, m.ValidationGain, m.ValidationOffset = 100, 3, 0.5, -1
	}, 6, 4, 2)
	for k, set := range with.sets() {
		for i := range set.Samples {
			before, after := without.sets()[k].Samples[i].Image, set.Samples[i].Image
			for v, x := range before.Data {
				want := float64(x)*100 + 3
				if k > 0 {
					want = want*0.5 - 1
				}
				if !(math.Abs(float64(after.Data[v])-want) <= 1e-6*math.Abs(want)+1e-4) {
					t.Fatalf("set %s: voxel %d is %g, want %g", set.Name, v, after.Data[v], want)
				}
			}
			if !slices.Equal(set.Samples[i].Prepared().Data, before.Data) {
				t.Errorf("set %s: image %d is not kept as it was prepared", set.Name, i)
			}
			if own := p.AsTraining(set.Samples[i].Prepared()); k == 0 && !slices.Equal(own.Data, after.Data) {
				t.Errorf("image %d differs from the training pipeline's", i)
			}
			if own := p.AsValidation(set.Samples[i].Prepared()); k > 0 && !slices.Equal(own.Data, after.Data) {
				t.Errorf("image %d differs from the validation pipeline's", i)
			}
		}
	}
	empty := p.AsTraining(&prep.Image{C: 2, D: 1, H: 1, W: 1, Data: []float32{1, 2}, Background: -1, Backgrounds: []float32{-1, -2}})
	if empty.Background != -97 || !slices.Equal(empty.Backgrounds, []float32{-97, -197}) {
		t.Errorf("empty space has %g and %v", empty.Background, empty.Backgrounds)
	}
}

// What the caller may share with another plan stays as it was.
func TestPlantLeavesWhatIsShared(t *testing.T) {
	p := smallPlan()
	p.Mistakes = Mistakes{PermuteLabels: true, LabelNoise: 0.2, Leak: 0.5, Shortcut: 1, Drop: 0.3,
		InputGain: 2, InputOffset: 1, ValidationGain: 3, ValidationOffset: 1, InitialGain: 1, ClassWeight: 1}
	images, want := blobs(p, 12, 10, 4), blobs(p, 12, 10, 4)
	same := *images
	if err := p.Plant(images); err != nil {
		t.Fatal(err)
	}
	for k, set := range same.sets() {
		if !slices.Equal(set.Subjects, want.sets()[k].Subjects) {
			t.Errorf("set %s: subjects are changed in place", set.Name)
		}
		for i, sample := range set.Samples {
			if w := want.sets()[k].Samples[i]; sample.Class != w.Class || sample.Subject != w.Subject || !slices.Equal(sample.Image.Data, w.Image.Data) {
				t.Errorf("set %s: sample %d is changed in place", set.Name, i)
			}
		}
	}
}

// Each mistake that touches training gives the same bits on any number of threads
// and another run than none.
func TestPlantedRuns(t *testing.T) {
	p := smallPlan()
	p.Epochs = 1
	clean, err := trainInto(t, context.Background(), p, blobs(p, 8, 4, 0), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Mistakes){
		"initial_gain": func(m *Mistakes) { m.InitialGain = 3 },
		"initial_bias": func(m *Mistakes) { m.InitialBias = -5 },
		"class_weight": func(m *Mistakes) { m.ClassWeight = 4 },
		"leak":         func(m *Mistakes) { m.Leak = 1 },
		"shortcut":     func(m *Mistakes) { m.Shortcut = 1 },
	} {
		q := p
		change(&q.Mistakes)
		var all []map[string][]byte
		for _, threads := range []int{1, 3} {
			images := blobs(p, 8, 4, 0)
			if err := q.Plant(images); err != nil {
				t.Fatal(err)
			}
			dir, err := trainInto(t, context.Background(), q, images, Options{Threads: threads})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all = append(all, files(t, dir))
			r, err := run.Open(dir)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if recorded := r.Epochs[0].Objective != nil; recorded != (name == "class_weight") {
				t.Errorf("%s: the objective is recorded: %t", name, recorded)
			}
		}
		for file := range all[0] {
			if !bytes.Equal(all[0][file], all[1][file]) {
				t.Errorf("%s: %s differs between 1 and 3 threads", name, file)
			}
		}
		if bytes.Equal(all[0]["epochs.jsonl"], files(t, clean)["epochs.jsonl"]) {
			t.Errorf("%s changes nothing", name)
		}
	}
}

// What initial_bias is added to comes before the activation in every network.
func TestPlantInitialWeights(t *testing.T) {
	for _, network := range []struct{ name, norm, bias string }{
		{"cnn2", "batch", "block1.norm.bias"}, {"cnn2", "group", "block2.norm.bias"}, {"cnn2", "none", "block2.conv.bias"},
		{"cnn2", "batch-after-pool", "block1.conv.bias"}, {"vgg11", "batch", "group2.block1.norm.bias"}, {"resnet10", "batch", "group2.block1.norm2.bias"},
	} {
		p := smallPlan()
		p.Net.Name, p.Net.Norm, p.Prep.Grid = network.name, network.norm, []int{32, 32, 32}
		images := blobs(p, 4, 2, 0)
		before, err := newTrainer(p, images, Options{Threads: 1})
		if err != nil {
			t.Fatalf("%s with %s: %v", network.name, network.norm, err)
		}
		old := before.net.State(nil)
		before.pool.Close()
		p.Mistakes.InitialGain, p.Mistakes.InitialBias = 0.5, -3
		after, err := newTrainer(p, images, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for k, tensor := range after.net.State(nil) {
			bias, weight := float32(0), float32(1)
			if len(tensor.Shape) > 2 {
				weight = 0.5
			}
			isNorm := strings.Contains(tensor.Name, ".norm") && (network.norm == "batch" || network.norm == "group")
			if strings.HasSuffix(tensor.Name, ".bias") && (isNorm || strings.Contains(tensor.Name, ".conv")) {
				bias = -3
			}
			found = found || tensor.Name == network.bias && bias != 0
			for i, x := range tensor.Data {
				if x != old[k].Data[i]*weight+bias {
					t.Fatalf("%s with %s: %s is %g, was %g", network.name, network.norm, tensor.Name, x, old[k].Data[i])
				}
			}
		}
		if !found {
			t.Errorf("%s with %s: %s is not changed", network.name, network.norm, network.bias)
		}
		after.pool.Close()
	}
}

// A run whose subjects were planted is one of its cohort, and goes on.
func TestSameSubjectsOfAPlantedRun(t *testing.T) {
	p := smallPlan()
	p.Mistakes.Drop, p.Mistakes.Leak, p.Mistakes.PermuteLabels = 0.5, 0.5, true
	images := blobs(p, 8, 4, 0)
	c, split := &cohort.Cohort{Classes: images.Classes}, cohort.Split{}
	for k, of := range []*[]int{&split.Train, &split.Validation} {
		for _, subject := range images.sets()[k].Subjects {
			*of = append(*of, len(c.Subjects))
			c.Subjects = append(c.Subjects, cohort.Subject{ID: subject.ID, Class: subject.Class})
		}
	}
	if err := p.Plant(images); err != nil {
		t.Fatal(err)
	}
	r := &run.Run{Header: Header(p, images, "test"), Plan: p.YAML()}
	if err := SameSubjects(r, c, split); err != nil {
		t.Errorf("the cohort of the run: %v", err)
	}
	c.Subjects[0].ID = "another"
	if err := SameSubjects(r, c, split); !errors.Is(err, ErrMismatch) {
		t.Errorf("another cohort: %v", err)
	}
}
