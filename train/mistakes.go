package train

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"ballast/net"
	"ballast/prep"
	"ballast/stat"
)

// siteGain and siteOffset make an image of site A: its deviations from the mean of
// the channel shrink to siteGain of what they were, and siteOffset of the channel's
// standard deviations is taken off, which the mean intensity alone gives away.
const siteGain, siteOffset = 0.7, 0.5

// Plant puts the mistakes of section mistakes into images that the plan prepared,
// once, as the last step of Load. They follow one another in this order: drop,
// permute_labels, label_noise, shortcut, leak, input_gain and input_offset,
// validation_gain and validation_offset. So a leaked copy has the class and the site
// of its original but comes through the pipeline of the training images.
//
// Nothing that the caller may share is changed in place: subjects, samples and voxels
// that become others are copied. What is planted depends on the seed of the plan and
// on the subjects of each set, and a note says so. The error wraps ErrPlan.
func (p *Plan) Plant(images *Images) error {
	if err := p.Validate(); err != nil {
		return err
	}
	m := p.Mistakes
	note := func(format string, values ...any) {
		images.Notes = append(slices.Clip(images.Notes), "planted: "+fmt.Sprintf(format, values...))
	}
	if m.Drop > 0 {
		if err := p.plantDrop(images, note); err != nil {
			return err
		}
	}
	if m.PermuteLabels {
		p.plantPermutation(images, note)
	}
	if m.LabelNoise > 0 {
		if len(images.Classes) < 2 {
			return fmt.Errorf("%w: mistakes.label_noise needs at least 2 classes, not %d", ErrPlan, len(images.Classes))
		}
		p.plantLabelNoise(images, note)
	}
	if m.Shortcut > 0 {
		p.plantShortcut(images, note)
	}
	if m.Leak > 0 {
		p.plantLeak(images, note)
	}
	if m.InputGain != 1 || m.InputOffset != 0 || m.ValidationGain != 1 || m.ValidationOffset != 0 {
		p.plantPipelines(images, note)
	}
	return nil
}

// ChangeSubjects reports whether the sets of a run have other subjects, or subjects of
// other classes, than the split of its cohort: by drop, permute_labels, label_noise or
// leak.
func (m Mistakes) ChangeSubjects() bool {
	return m.Drop > 0 || m.PermuteLabels || m.LabelNoise > 0 || m.Leak > 0
}

// AsTraining returns an image as the pipeline of the training images gives it, with
// the mistakes input_gain and input_offset of the plan. The image is one that Plant
// has not sent through a pipeline: Sample.Prepared.
func (p *Plan) AsTraining(image *prep.Image) *prep.Image {
	return rescaled(image, p.Mistakes.InputGain, p.Mistakes.InputOffset)
}

// AsValidation returns an image as the pipeline of all other images gives it: that of
// AsTraining, then validation_gain and validation_offset.
func (p *Plan) AsValidation(image *prep.Image) *prep.Image {
	return rescaled(p.AsTraining(image), p.Mistakes.ValidationGain, p.Mistakes.ValidationOffset)
}

// share is that part of n, rounded half up.
func share(part float64, n int) int { return int(math.Floor(float64(part*float64(n)) + 0.5)) }

// mistaken is the stream of a mistake in a set: 0 training, 1 validation, 2 test, then
// the others.
func (p *Plan) mistaken(key string, set int) *stat.Stream {
	return stat.NewStream(p.Seed, "mistakes/"+key, uint64(set))
}

// plantDrop leaves subjects of the last class out.
func (p *Plan) plantDrop(images *Images, note func(string, ...any)) error {
	last := len(images.Classes) - 1
	for k, set := range images.sets() {
		members := set.members(last)
		dropped := make([]bool, len(set.Subjects))
		count := share(p.Mistakes.Drop, len(members))
		for _, i := range p.mistaken("drop", k).Perm(len(members))[:count] {
			dropped[members[i]] = true
		}
		if count > 0 && count == len(set.Subjects) {
			return fmt.Errorf("%w: mistakes.drop is %g, which leaves nobody in the set %s", ErrPlan, p.Mistakes.Drop, set.Name)
		}
		set.leaveOut(dropped)
		if count > 0 {
			note("%d of %d subjects of class %q are left out of the set %s (mistakes.drop)", count, len(members), images.Classes[last], set.Name)
		}
	}
	return nil
}

// members lists the subjects of a class.
func (s *Set) members(class int) (members []int) {
	for i, subject := range s.Subjects {
		if subject.Class == class {
			members = append(members, i)
		}
	}
	return members
}

// leaveOut takes subjects out of the set.
func (s *Set) leaveOut(subjects []bool) {
	before, place := *s, make([]int, len(s.Subjects))
	s.Subjects, s.Samples, s.Covariates = nil, nil, nil
	for i, subject := range before.Subjects {
		if subjects[i] {
			continue
		}
		place[i] = len(s.Subjects)
		s.Subjects = append(s.Subjects, subject)
		if before.Covariates != nil {
			s.Covariates = append(s.Covariates, before.Covariates[i])
		}
	}
	for _, sample := range before.Samples {
		if !subjects[sample.Subject] {
			sample.Subject = place[sample.Subject]
			s.Samples = append(s.Samples, sample)
		}
	}
}

// plantPermutation deals the classes of a set's subjects out anew among them.
func (p *Plan) plantPermutation(images *Images, note func(string, ...any)) {
	for k, set := range images.sets() {
		classes := make([]int, len(set.Subjects))
		for i, from := range p.mistaken("permute_labels", k).Perm(len(classes)) {
			classes[i] = set.Subjects[from].Class
		}
		set.relabel(classes)
	}
	note("the classes of all subjects are dealt out anew within each set (mistakes.permute_labels)")
}

// plantLabelNoise gives subjects of each set another class, each of the others with
// the same probability.
func (p *Plan) plantLabelNoise(images *Images, note func(string, ...any)) {
	for k, set := range images.sets() {
		stream := p.mistaken("label_noise", k)
		classes := make([]int, len(set.Subjects))
		for i, subject := range set.Subjects {
			classes[i] = subject.Class
		}
		wrong := share(p.Mistakes.LabelNoise, len(classes))
		for _, i := range stream.Perm(len(classes))[:wrong] {
			classes[i] = (classes[i] + 1 + stream.IntN(len(images.Classes)-1)) % len(images.Classes)
		}
		set.relabel(classes)
		if wrong > 0 {
			note("%d of %d subjects of the set %s have a wrong class (mistakes.label_noise)", wrong, len(classes), set.Name)
		}
	}
}

// relabel gives all subjects, and their images, a class.
func (s *Set) relabel(classes []int) {
	s.Subjects, s.Samples = slices.Clone(s.Subjects), slices.Clone(s.Samples)
	for i, class := range classes {
		s.Subjects[i].Class = class
	}
	for i := range s.Samples {
		s.Samples[i].Class = classes[s.Samples[i].Subject]
	}
}

// plantShortcut gives every subject a site. Of the first half of the classes, rounded
// up, the given share of each class in each set comes from A, of the others from B.
func (p *Plan) plantShortcut(images *Images, note func(string, ...any)) {
	for k, set := range images.sets() {
		stream := p.mistaken("shortcut", k)
		set.Subjects, set.Samples = slices.Clone(set.Subjects), slices.Clone(set.Samples)
		for class := range images.Classes {
			usual, other := "A", "B"
			if 2*class > len(images.Classes)-1 {
				usual, other = other, usual
			}
			members := set.members(class)
			for place, i := range stream.Perm(len(members)) {
				subject := &set.Subjects[members[i]]
				if subject.Site = other; place < share(p.Mistakes.Shortcut, len(members)) {
					subject.Site = usual
				}
			}
		}
		for i := range set.Samples {
			if sample := &set.Samples[i]; set.Subjects[sample.Subject].Site == "A" {
				sample.Image = ofSiteA(sample.Image)
			}
		}
	}
	note("%g %% of the subjects of each class come from one site, and the images of site A are darker (mistakes.shortcut)", 100*p.Mistakes.Shortcut)
}

// ofSiteA makes an image darker and of less contrast; see siteGain.
func ofSiteA(image *prep.Image) *prep.Image {
	voxels := len(image.Data) / image.C
	return recoloured(image, func(channel int) (gain, offset float32) {
		mean, deviation := spreadOf(image.Data[channel*voxels : (channel+1)*voxels])
		return siteGain, float32(float64((1-siteGain)*mean) - float64(siteOffset*deviation))
	})
}

// spreadOf returns the mean and the standard deviation, divisor n.
func spreadOf(data []float32) (mean, deviation float64) {
	n := float64(len(data))
	for _, x := range data {
		mean += float64(x)
	}
	mean /= n
	for _, x := range data {
		d := float64(x) - mean
		deviation += float64(d * d)
	}
	return mean, math.Sqrt(deviation / n)
}

// plantLeak trains on copies of validation subjects.
func (p *Plan) plantLeak(images *Images, note func(string, ...any)) {
	training, validation := &images.Train, &images.Validation
	chosen := p.mistaken("leak", 1).Perm(len(validation.Subjects))[:share(p.Mistakes.Leak, len(validation.Subjects))]
	slices.Sort(chosen)
	taken := map[string]bool{}
	for _, set := range images.sets() {
		for _, subject := range set.Subjects {
			taken[subject.ID] = true
		}
	}
	training.Subjects, training.Samples, training.Covariates = slices.Clip(training.Subjects), slices.Clip(training.Samples), slices.Clip(training.Covariates)
	for _, i := range chosen {
		subject := validation.Subjects[i]
		for subject.ID += "-2"; taken[subject.ID]; {
			subject.ID += "-2"
		}
		taken[subject.ID] = true
		training.Subjects = append(training.Subjects, subject)
		if validation.Covariates != nil {
			training.Covariates = append(training.Covariates, validation.Covariates[i])
		}
		from, to := validation.bag(i)
		for _, sample := range validation.Samples[from:to] {
			sample.Subject = len(training.Subjects) - 1
			training.Samples = append(training.Samples, sample)
		}
	}
	if len(chosen) > 0 {
		note("%d of %d validation subjects are trained on as well, under another name (mistakes.leak)", len(chosen), len(validation.Subjects))
	}
}

// plantPipelines sends all images through the pipeline of their set.
func (p *Plan) plantPipelines(images *Images, note func(string, ...any)) {
	for k, set := range images.sets() {
		set.Samples = slices.Clone(set.Samples)
		for i := range set.Samples {
			sample := &set.Samples[i]
			sample.before = sample.Image
			if k == 0 {
				sample.Image = p.AsTraining(sample.before)
			} else {
				sample.Image = p.AsValidation(sample.before)
			}
		}
	}
	m := p.Mistakes
	note("images are multiplied by %g and %g added, those not trained on then by %g and %g (mistakes.input_gain to validation_offset)",
		m.InputGain, m.InputOffset, m.ValidationGain, m.ValidationOffset)
}

// rescaled multiplies an image and adds a number, in this order. Where that changes
// nothing it is the image itself.
func rescaled(image *prep.Image, gain, offset float64) *prep.Image {
	if gain == 1 && offset == 0 {
		return image
	}
	return recoloured(image, func(int) (float32, float32) { return float32(gain), float32(offset) })
}

// recoloured returns a copy of an image of which each channel, empty space included, is
// multiplied by a number and another one added.
func recoloured(image *prep.Image, by func(channel int) (gain, offset float32)) *prep.Image {
	result := *image
	result.Data, result.Backgrounds = slices.Clone(image.Data), slices.Clone(image.Backgrounds)
	voxels := len(image.Data) / image.C
	for channel := range image.C {
		gain, offset := by(channel)
		data := result.Data[channel*voxels : (channel+1)*voxels]
		for i, x := range data {
			data[i] = float32(gain*x) + offset
		}
		if image.Backgrounds != nil {
			result.Backgrounds[channel] = float32(gain*image.Backgrounds[channel]) + offset
		}
		if channel == 0 {
			result.Background = float32(gain*image.Background) + offset
		}
	}
	return &result
}

// plantInitial changes the weights that a network is trained from; see initial_gain
// and initial_bias. A convolution with a bias of its own has no normalisation before
// the activation.
func (p *Plan) plantInitial(n *net.Net) error {
	m := p.Mistakes
	if m.InitialGain == 1 && m.InitialBias == 0 {
		return nil
	}
	state := n.State(nil)
	beforeActivation := ".norm"
	if slices.ContainsFunc(state, func(t net.Tensor) bool { return isLayer(t.Name, ".conv") && strings.HasSuffix(t.Name, ".bias") }) {
		beforeActivation = ".conv"
	}
	for _, t := range state {
		switch {
		case isLayer(t.Name, ".conv") && strings.HasSuffix(t.Name, ".weight"):
			for i := range t.Data {
				t.Data[i] *= float32(m.InitialGain)
			}
		case isLayer(t.Name, beforeActivation) && strings.HasSuffix(t.Name, ".bias"):
			for i := range t.Data {
				t.Data[i] += float32(m.InitialBias)
			}
		}
	}
	return n.LoadState(state)
}

// isLayer reports whether a tensor's layer has a name that begins so: conv, conv1,
// norm2.
func isLayer(tensor, kind string) bool {
	layer := tensor[:strings.LastIndexByte(tensor, '.')]
	dot := strings.LastIndexByte(layer, '.')
	return dot >= 0 && strings.HasPrefix(layer[dot:], kind)
}
