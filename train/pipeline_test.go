package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ballast/cohort"
	"ballast/prep"
	"ballast/run"
	"ballast/stat"
)

// study writes a cohort of 3D images with masks and a second sequence on a grid
// of its own. Subjects 0 and 1 have the same files under other names; 0, 2, 4, 6
// are trained on, the others validated.
func study(t *testing.T) (*cohort.Cohort, cohort.Split) {
	t.Helper()
	dir := t.TempDir()
	c := &cohort.Cohort{Classes: []string{"no", "yes"}}
	write := func(name string, v *cohort.Volume) string {
		path := filepath.Join(dir, name+".nii.gz")
		if err := cohort.WriteNIfTI(path, v, "float32"); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for subject := range 8 {
		s := stat.NewStream(5, "study", uint64(max(subject, 1)))
		scale := 1 + 3*s.Float64()
		scan := func(shape [3]int, spacing [3]float64) *cohort.Volume {
			v := &cohort.Volume{Shape: shape, Spacing: spacing}
			for axis := range 3 {
				v.Affine[axis][axis] = spacing[axis]
			}
			for n := range shape[0] * shape[1] * shape[2] {
				value := float32(0)
				if n%shape[0] > 1 {
					value = float32(scale * (100 + 20*s.Normal()))
				}
				v.Data = append(v.Data, value)
			}
			return v
		}
		first := scan([3]int{14, 13, 9}, [3]float64{1, 1, 2})
		mask := &cohort.Volume{Shape: first.Shape, Spacing: first.Spacing, Affine: first.Affine, Data: make([]float32, len(first.Data))}
		for n := range mask.Data {
			if i, j, k := n%14, n/14%13, n/14/13; i > 4 && i < 11 && j > 2 && j < 9 && k > 2 && k < 6 {
				mask.Data[n] = 1
			}
		}
		id := fmt.Sprintf("s%d", subject)
		c.Subjects = append(c.Subjects, cohort.Subject{ID: id, Class: subject / 2 % 2, Images: []cohort.Image{{
			Path: write(id, first), Mask: write(id+"_mask", mask), Volume: -1,
			Also: []string{write(id+"_b", scan([3]int{10, 11, 12}, [3]float64{1.4, 1.3, 1.5}))},
		}}})
	}
	return c, cohort.Split{Train: []int{0, 2, 4, 6}, Validation: []int{1, 3, 5, 7}}
}

// pipelines are plans whose preprocessing differs in every step.
func pipelines() map[string]func(p *Prep) {
	return map[string]func(p *Prep){
		"defaults":            func(*Prep) {},
		"bias field":          func(p *Prep) { p.Bias, p.Crop = "n4", "none" },
		"histogram":           func(p *Prep) { p.Standardise, p.Clip = "nyul", []float64{0.5, 99.5} },
		"cubic, over mask":    func(p *Prep) { p.Resample, p.Over, p.Pad = "cubic", "mask", "-10" },
		"area, minmax, whole": func(p *Prep) { p.Resample, p.Normalise, p.Over, p.Crop = "area", "minmax", "image", "none" },
		"stored, nearest":     func(p *Prep) { p.Orient, p.Resample, p.Crop = "stored", "nearest", "foreground" },
		"as it is":            func(p *Prep) { p.Normalise, p.Crop = "none", "none" },
		"middle slice":        func(p *Prep) { p.Slice = "middle" },
		"largest slice":       func(p *Prep) { p.Slice = "mask-largest" },
		"all slices": func(p *Prep) {
			p.Slice, p.Standardise, p.Crop = "all", "nyul", "foreground"
		},
	}
}

// The same file gives the same bits as a training image, as a validation image
// and to ballast predict, through every pipeline, from the disk and from the
// cache; and predict repeats the recorded probabilities.
func TestTrainingValidationAndPredictAgree(t *testing.T) {
	c, split := study(t)
	cache := prep.OpenCache(t.TempDir(), 1<<30)
	for name, change := range pipelines() {
		t.Run(name, func(t *testing.T) {
			p := DefaultPlan()
			p.Epochs, p.Batch, p.Augment = 1, 2, Augment{}
			p.Net.Name, p.Net.Width = "cnn2", 2
			change(&p.Prep)
			var loaded []*Images
			for _, r := range []Reading{{Threads: 1}, {Threads: 3, Cache: cache}, {Threads: 2, Cache: cache}} {
				resolved, err := Resolve(context.Background(), p, c, split, r)
				if err != nil {
					t.Fatal(err)
				}
				images, err := Load(context.Background(), c, split, resolved, r)
				if err != nil {
					t.Fatal(err)
				}
				if len(loaded) > 0 && !reflect.DeepEqual(images, loaded[0]) {
					t.Error("the cache or the threads change the images")
				}
				loaded, p = append(loaded, images), resolved
			}
			images := loaded[0]
			for i, sample := range images.Train.Samples {
				if sample.Subject == 0 && !reflect.DeepEqual(sample.Image, images.Validation.Samples[i].Image) {
					t.Error("one file is prepared differently for training and for validation")
				}
			}
			if n := images.Train.Samples[0].Image.C; n != 2 {
				t.Errorf("%d channels, want 2", n)
			}
			if told := strings.Contains(strings.Join(images.Notes, "\n"), "prep.slice: "+p.Prep.Slice); told != (p.Prep.Slice != "") {
				t.Errorf("slice %q, notes %q", p.Prep.Slice, images.Notes)
			}
			checkPredict(t, p, c, split, images)
		})
	}
}

func checkPredict(t *testing.T, p Plan, c *cohort.Cohort, split cohort.Split, images *Images) {
	t.Helper()
	dir, err := trainInto(t, context.Background(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	predictor, err := NewPredictor(dir, LastWeights, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer predictor.Close()
	recorded := r.Epochs[0].Evaluation(run.Deterministic, run.Validation).Probabilities
	for n, s := range split.Validation {
		image := c.Subjects[s].Images[0]
		prepared, err := prep.LoadAll(image, predictor.Config)
		if err != nil {
			t.Fatal(err)
		}
		var want []*prep.Image
		for _, sample := range images.Validation.Samples {
			if sample.Subject == n {
				want = append(want, sample.Image)
			}
		}
		if !reflect.DeepEqual(prepared, want) {
			t.Error("predict prepares another image than validation")
		}
		if row, err := predictor.Predict(cohort.Subject{Images: []cohort.Image{image}}); err != nil || !slices.Equal(row, recorded[n]) {
			t.Errorf("predicted %v (%v), recorded %v", row, err, recorded[n])
		}
	}
}

// What is fitted comes from the training subjects alone: other validation
// subjects change nothing, another training subject does.
func TestFittedOnTrainingSubjectsOnly(t *testing.T) {
	c, split := study(t)
	p := DefaultPlan()
	p.Prep.Standardise = "nyul"
	fitted := func(split cohort.Split) []byte {
		t.Helper()
		resolved, err := Resolve(context.Background(), p, c, split, Reading{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		images, err := Load(context.Background(), c, split, resolved, Reading{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		if images.Fitted.Images != len(split.Train) || len(images.Fitted.Channels) != 2 {
			t.Errorf("fitted on %d images, %d channels", images.Fitted.Images, len(images.Fitted.Channels))
		}
		return images.Fitted.JSON()
	}
	want := fitted(split)
	split.Validation = []int{3}
	if !bytes.Equal(fitted(split), want) {
		t.Error("the validation subjects change what is fitted")
	}
	split.Train = []int{0, 2, 4, 5}
	if bytes.Equal(fitted(split), want) {
		t.Error("another training subject changes nothing")
	}
}

func TestResolveChoosesSlices(t *testing.T) {
	c, split := study(t)
	for _, s := range []struct {
		name, slice, want, says string
		grid                    []int
		spacing                 []float64
	}{
		{name: "3D by default"},
		{name: "grid and spacing of two numbers", grid: []int{16, 16}, spacing: []float64{1, 1}, want: "middle"},
		{name: "slices asked for", slice: "all", want: "all"},
		{name: "and their grid", slice: "mask-largest", grid: []int{16, 16}, want: "mask-largest"},
		{name: "a grid of two numbers alone", grid: []int{16, 16}, says: "prep.grid has 2 numbers, but the images are 3D"},
		{name: "slices on a 3D grid", slice: "all", grid: []int{16, 16, 16}, says: "which makes a 2D run"},
		{name: "unknown", slice: "first", says: `prep.slice is "first"`},
	} {
		p := DefaultPlan()
		p.Prep.Slice, p.Prep.Grid, p.Prep.Spacing = s.slice, s.grid, s.spacing
		got, err := Resolve(context.Background(), p, c, split, Reading{Threads: 2})
		if s.says != "" {
			if !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), s.says) {
				t.Errorf("%s: %v, want %q", s.name, err, s.says)
			}
			continue
		}
		if err != nil || got.Prep.Slice != s.want || (len(got.Prep.Grid) == 2) != (s.want != "") {
			t.Errorf("%s: slice %q on grid %v, %v", s.name, got.Prep.Slice, got.Prep.Grid, err)
		}
	}
}

// A chosen grid has the voxels that the network's poolings need.
func TestResolveChoosesAGridForTheNetwork(t *testing.T) {
	c, split := study(t)
	for name, least := range map[string]int{"cnn4": 16, "vgg11": 32, "cnn6": 64, "resnet10": 16} {
		p := DefaultPlan()
		p.Net.Name = name
		p, err := Resolve(context.Background(), p, c, split, Reading{Threads: 2})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := slices.Min(p.Prep.Grid); got != least {
			t.Errorf("%s: grid %v, want at least %d voxels and no more than needed", name, p.Prep.Grid, least)
		}
	}
}

func TestResolveRefusesUnevenSequencesAndMissingMasks(t *testing.T) {
	c, split := study(t)
	c.Subjects[3].Images[0].Also = nil
	if _, err := Resolve(context.Background(), DefaultPlan(), c, split, Reading{Threads: 1}); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), "of subject s3 comes with 1 in all") {
		t.Errorf("one sequence fewer: %v", err)
	}
	c, split = study(t)
	c.Subjects[2].Images[0].Mask = ""
	for key, value := range map[string]string{"prep.over": "mask", "prep.slice": "mask-largest"} {
		p := DefaultPlan()
		if err := p.Set(key, value); err != nil {
			t.Fatal(err)
		}
		if _, err := Resolve(context.Background(), p, c, split, Reading{Threads: 1}); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), "need a mask for every image") {
			t.Errorf("%s %s without a mask: %v", key, value, err)
		}
	}
}

func TestPredictorNeedsWhatWasFitted(t *testing.T) {
	c, split := study(t)
	p := DefaultPlan()
	p.Epochs, p.Prep.Standardise, p.Net.Name, p.Net.Width = 1, "nyul", "cnn2", 2
	p, err := Resolve(context.Background(), p, c, split, Reading{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	images, err := Load(context.Background(), c, split, p, Reading{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := trainInto(t, context.Background(), p, images, Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, PrepFile)
	for _, damage := range []func() error{
		func() error { return os.WriteFile(path, []byte("{}"), 0o644) },
		func() error { return os.WriteFile(path, bytes.Repeat([]byte(" "), maxPrepFile+1), 0o644) },
		func() error { return os.Remove(path) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if predictor, err := NewPredictor(dir, LastWeights, 1); err == nil || !strings.Contains(err.Error(), PrepFile) {
			t.Errorf("%v", err)
			if predictor != nil {
				predictor.Close()
			}
		}
	}
}

func TestValidateRefusesPreparation(t *testing.T) {
	for _, c := range []struct{ key, value, says string }{
		{"prep.pad", "air", `prep.pad "air": choose background or a number`},
		{"prep.clip", "[99, 1]", "prep.clip [99 1]: give a low and a higher percentile"},
		{"prep.clip", "[5]", "prep.clip [5]"},
		{"prep.resample", "spline", `prep.resample is "spline"; it can be linear, cubic, nearest, area`},
		{"prep.over", "lesion", `prep.over is "lesion"; it can be foreground, mask, image`},
		{"prep.bias", "n3", `prep.bias is "n3"; it can be none, n4`},
		{"prep.orient", "LPS", `prep.orient is "LPS"; it can be anatomy, stored`},
		{"prep.channels", "-1", "prep.channels is -1"},
	} {
		p := DefaultPlan()
		if err := p.Set(c.key, c.value); err != nil {
			t.Fatal(err)
		}
		err := p.Validate()
		if !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), c.says) || strings.Count(err.Error(), "prep.") != 1 {
			t.Errorf("%s %s: %v, want once %q", c.key, c.value, err, c.says)
		}
	}
	p := DefaultPlan()
	if err := errors.Join(p.Set("prep.pad", "-5"), p.Set("prep.clip", "[0.5, 99.5]"), p.Validate()); err != nil || p.Prep.Pad != "-5" {
		t.Errorf("pad %q, clip %v: %v", p.Prep.Pad, p.Prep.Clip, err)
	}
	p.Prep.Standardise, p.Prep.Over = "nyul", "mask"
	if err := p.Validate(); !errors.Is(err, ErrPlan) {
		t.Errorf("nyul over the mask: %v", err)
	}
}

// Slices of images that are slices make no sense.
func TestSlicesOfPicturesAreRefused(t *testing.T) {
	c, split := study(t)
	dir := t.TempDir()
	for s := range c.Subjects {
		v := &cohort.Volume{Shape: [3]int{8, 8, 1}, Spacing: [3]float64{1, 1, 1}, Affine: [3][4]float64{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}
		for n := range 64 {
			v.Data = append(v.Data, float32(n%9))
		}
		path := filepath.Join(dir, fmt.Sprintf("%d.nii", s))
		if err := cohort.WriteNIfTI(path, v, "float32"); err != nil {
			t.Fatal(err)
		}
		c.Subjects[s].Images = []cohort.Image{{Path: path, Volume: cohort.Unchosen}}
	}
	p := DefaultPlan()
	p.Prep.Slice = "all"
	if _, err := Resolve(context.Background(), p, c, split, Reading{Threads: 2}); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), "the images are 2D") {
		t.Errorf("%v", err)
	}
}
