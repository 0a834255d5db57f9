package train

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ballast/prep"
)

// Unless asked, images are flipped and shifted with the draws of earlier
// versions, and nothing else happens to them.
func TestDefaultAugmentation(t *testing.T) {
	p := smallPlan()
	// Recorded with the first version, which knew nothing else.
	for sample, want := range map[int]prep.Draw{
		5: {Shift: [3]int{-1, -1, 2}},
		6: {Shift: [3]int{-2, -2, 1}},
		7: {Flip: [3]bool{2: true}, Shift: [3]int{-1, -1, 1}},
		8: {Flip: [3]bool{2: true}, Shift: [3]int{0, -1, 1}},
	} {
		if got := p.DrawOf(sample, 3); !reflect.DeepEqual(got, want) {
			t.Errorf("image %d: %+v, want %+v", sample, got, want)
		}
	}
	// More augmentations change neither.
	p.Augment = presets["mri"]()
	p.Augment.Motion.Translation = 1
	p.Augment.Downsample.Factor = 1
	if got := p.DrawOf(7, 3); got.Flip != [3]bool{2: true} || got.Shift != [3]int{-1, -1, 1} {
		t.Errorf("with a preset, flip %v and shift %v", got.Flip, got.Shift)
	}
}

func TestPresets(t *testing.T) {
	read := func(text string) Augment {
		t.Helper()
		p, err := ReadPlan([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		again, err := ReadPlan(p.YAML())
		if err != nil || !bytes.Equal(again.YAML(), p.YAML()) {
			t.Errorf("%s reads back as %+v, %v", text, again.Augment, err)
		}
		return p.Augment
	}
	none, light, mri := read("augment: {preset: none}"), read("augment: {preset: light}"), read("augment: {preset: mri}")
	if len(none.Flip) != 0 || none.Shift != 0 || none.Affine.Probability != 0 || none.Gamma.Change != 1.4 {
		t.Errorf("none: %+v", none)
	}
	if light.Affine.Probability == 0 || light.Motion.Probability != 0 || mri.Motion.Probability == 0 || mri.Cutout.Probability != 0 {
		t.Errorf("light: %+v, mri: %+v", light, mri)
	}
	// Keys beside a preset win, whatever their order; so does a later --set.
	for _, text := range []string{"augment: {preset: mri, shift: 7, affine: {rotation: 3}}", "augment: {affine: {rotation: 3}, shift: 7, preset: mri}"} {
		a := read(text)
		want := mri
		want.Shift, want.Affine.Rotation = 7, 3
		if !reflect.DeepEqual(a, want) {
			t.Errorf("%s: %+v, want %+v", text, a, want)
		}
	}
	p := DefaultPlan()
	for _, set := range [][2]string{{"augment.noise.sigma", "0.3"}, {"augment.preset", "light"}, {"augment.noise.probability", "1"}, {"seed", "4"}} {
		if err := p.Set(set[0], set[1]); err != nil {
			t.Fatal(err)
		}
	}
	want := light
	want.Noise.Probability = 1
	if !reflect.DeepEqual(p.Augment, want) {
		t.Errorf("after --set: %+v, want %+v", p.Augment, want)
	}
	if err := p.Set("augment.preset", "heavy"); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), "light, mri, none") {
		t.Errorf("an unknown preset: %v", err)
	}
}

func TestAugmentRefusals(t *testing.T) {
	for key, value := range map[string]string{
		"augment.affine.probability":   "1.5",
		"augment.elastic.displacement": "0.5",
		"augment.motion.movements":     "99",
		"augment.cutout.size":          "0.9",
		"augment.shift":                "-1",
	} {
		p := DefaultPlan()
		if err := p.Set(key, value); err != nil {
			t.Fatal(err)
		}
		if err := p.Validate(); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), key+" is "+value) {
			t.Errorf("%s: %s: %v", key, value, err)
		}
	}
	p := smallPlan()
	p.Prep.Grid = []int{1, 2, 3, 4, 5} // refused without a crash
	if p.Validate() == nil {
		t.Error("a grid of five axes passed")
	}
	for name, c := range map[string]struct {
		change  func(*Plan)
		classes []string
		says    string
	}{
		"shifted out of view": {func(p *Plan) { p.Augment.Shift = 3 }, nil, "out of view"},
		"moved out of view":   {func(p *Plan) { p.Augment.Affine = prep.Affine{Probability: 1, Translation: 5} }, nil, "out of view"},
		"sides are classes":   {func(*Plan) {}, []string{"left_tumour", "right_tumour"}, `"left_tumour" into "right_tumour"`},
	} {
		p := smallPlan()
		c.change(&p)
		if err := p.checkAugment(c.classes); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p = smallPlan()
	if err := p.checkAugment([]string{"upright", "leftover"}); err != nil {
		t.Errorf("classes that only contain the words: %v", err)
	}
	p.Augment.Flip = nil
	if err := p.checkAugment([]string{"left", "right"}); err != nil {
		t.Errorf("sides without a flip: %v", err)
	}
}

// What the network is fed is what DrawOf says, image by image.
func TestTrainerUsesDrawOf(t *testing.T) {
	p := smallPlan()
	p.Augment = presets["mri"]()
	p.Augment.Motion.Translation, p.Augment.Downsample.Factor = 1, 1 // for a grid four voxels deep
	p.Augment.Gamma.Probability = 1
	images := blobs(p, 6, 2, 0)
	trainer, err := newTrainer(p, images, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.pool.Close()
	indices := []int{3, 0, 7, 2}
	drawn := source{set: &images.Train, units: indices, draw: func(_, sample int) prep.Draw { return p.DrawOf(sample, 5) }}
	trainer.fill(&trainer.batch, drawn, part{0, len(indices)})
	size := len(images.Train.Samples[0].Image.Data)
	for i, sample := range indices {
		want := make([]float32, size)
		prep.Apply(want, images.Train.Samples[sample].Image, p.DrawOf(sample, 5))
		if !slices.Equal(trainer.batch.Data[i*size:(i+1)*size], want) {
			t.Errorf("image %d is not what DrawOf says", sample)
		}
		if slices.Equal(want, images.Train.Samples[sample].Image.Data) {
			t.Errorf("image %d was not changed", sample)
		}
	}
}

// An epoch on augmented images ends with the very weights of an epoch without
// augmentation on images that were changed beforehand as DrawOf says.
func TestTrainingSeesWhatDrawOfSays(t *testing.T) {
	p := smallPlan()
	p.Epochs = 1
	p.Augment = presets["mri"]()
	p.Augment.Motion.Translation, p.Augment.Downsample.Factor = 1, 1
	augmented, err := trainInto(t, t.Context(), p, blobs(p, 9, 3, 0), Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	images := blobs(p, 9, 3, 0)
	for i := range images.Train.Samples {
		changed := *images.Train.Samples[i].Image
		changed.Data = make([]float32, len(changed.Data))
		prep.Apply(changed.Data, images.Train.Samples[i].Image, p.DrawOf(i, 1))
		images.Train.Samples[i].Image = &changed
	}
	p.Augment = presets["none"]()
	plain, err := trainInto(t, t.Context(), p, images, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	const weights = "weights/last.safetensors"
	if a, b := files(t, augmented)[weights], files(t, plain)[weights]; len(a) == 0 || !bytes.Equal(a, b) {
		t.Errorf("%d and %d bytes of weights differ", len(a), len(b))
	}
}

// Every key of the section is on the page, with its default.
func TestAugmentationPage(t *testing.T) {
	page, err := os.ReadFile("../docs/augmentation.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z.]+)` \\| `([^`]*)` \\|").FindAllStringSubmatch(string(page), -1) {
		documented[row[1]] = row[2]
	}
	defaults := DefaultPlan()
	for _, key := range Keys() {
		short, ok := strings.CutPrefix(key, "augment.")
		if !ok || short == "preset" {
			continue
		}
		if want := fmt.Sprint(defaults.value(key).Interface()); documented[short] != want {
			t.Errorf("docs/augmentation.md says %q of %s; the default is %q", documented[short], key, want)
		}
		delete(documented, short)
	}
	for key := range documented {
		t.Errorf("docs/augmentation.md has a key %s that the plan does not", key)
	}
}
