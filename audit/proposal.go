package audit

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"ballast/cohort"
	"ballast/prep"
)

// A Choice is one value of the proposed plan and why.
type Choice struct {
	Key    string `json:"key"`    // of the plan (docs/format/plan.md); "folds" is advice and no key
	Value  string `json:"value"`  // as YAML
	Reason string `json:"reason"` // a sentence or two
}

// The largest grids that are proposed, those that `ballast train` chooses by
// itself: a training step of the four-layer network stays within about a second
// on two cores.
const (
	maxVoxels3D = 32 * 48 * 48
	maxVoxels2D = 128 * 128
)

const proposedMargin = 10 // mm, or pixels of images without a scale

// A proposal grows choice by choice; later ones look at earlier ones.
type proposal struct {
	*study
	split   cohort.Split
	choices []Choice
}

func (p *proposal) add(key, value, reason string, details ...any) {
	p.choices = append(p.choices, Choice{key, value, fmt.Sprintf(reason, details...)})
}

// propose returns a plan for the cohort and what its validation set resolves.
func (s *study) propose() ([]Choice, Resolution) {
	p := &proposal{study: s}
	resolution := p.proposeSplit()
	p.proposeFolds(resolution)
	if len(s.images) == 0 {
		return p.choices, resolution
	}
	crop := p.proposeCrop()
	grid := p.proposeGrid(crop)
	p.add("prep.normalise", "zscore", "MRI intensities have no unit: each image is brought to mean 0 and standard deviation 1 over its foreground")
	if len(grid) == 0 {
		return p.choices, resolution
	}
	images := 0
	for _, n := range p.split.Train {
		images += len(s.cohort.Subjects[n].Images)
	}
	p.proposeBatch(len(grid), images)
	p.proposeNet(grid)
	return p.choices, resolution
}

// proposeSplit proposes shares and divides the subjects with them, so that sizes
// are chosen from training subjects alone.
func (p *proposal) proposeSplit() Resolution {
	n := len(p.cohort.Subjects)
	wishes, asked := cohort.SplitOptions{Validation: 0.25}, p.options.Split != nil
	if n >= 200 {
		wishes.Validation, wishes.Test = 0.2, 0.15
	}
	if asked {
		wishes = *p.options.Split
	}
	fixed := 0
	for _, subject := range p.cohort.Subjects {
		fixed += indicator(subject.Set == "validation")
	}
	split, err := p.cohort.SplitBy(p.options.Seed, wishes)
	count := len(split.Validation)
	if err != nil {
		count = max(fixed, int(math.Round(wishes.Validation*float64(n))))
		for subject := range p.cohort.Subjects {
			split.Train = append(split.Train, subject)
		}
	}
	p.split = split
	resolution := resolve(count, fixed > 0, float64(tally(p.classNames())[0].Count)/float64(n))
	share := yamlNumber(wishes.Validation)
	switch {
	case err != nil:
		p.add("split.validation", share, "the cohort cannot be divided yet: %s", err)
	case fixed > 0:
		p.add("split.validation", share, "without effect: the table fixes %d validation subjects", fixed)
	default:
		p.add("split.validation", share, "%d of %d subjects; %s", count, n, lowerFirst(resolution.Sentences[0]))
	}
	switch {
	case asked:
		p.add("split.test", yamlNumber(wishes.Test), "as asked")
	case wishes.Test > 0:
		p.add("split.test", yamlNumber(wishes.Test), "%d subjects are enough to set some aside for one evaluation at the end, which the choice of an epoch cannot flatter", n)
	default:
		p.add("split.test", "0", "of %d subjects a test set would be too small to say anything; use folds", n)
	}
	p.proposeStrata(asked)
	return resolution
}

// proposeStrata keeps sites in proportion where there are several and most have
// enough subjects to be divided.
func (p *proposal) proposeStrata(asked bool) {
	var sites []string
	for _, subject := range p.cohort.Subjects {
		sites = append(sites, subject.Site)
	}
	counts := tally(sites)
	if asked || len(counts) < 2 || counts[len(counts)/2].Count < 4 {
		return
	}
	p.add("split.stratify", "[label, site]", "%d sites: every set holds each of them in proportion, so that none is validated on that was hardly trained on", len(counts))
}

func (s *study) classNames() []string {
	var names []string
	for n := range s.cohort.Subjects {
		names = append(names, s.class(n))
	}
	return names
}

func (p *proposal) proposeFolds(r Resolution) {
	n := len(p.cohort.Subjects)
	rarest := n
	for _, class := range tally(p.classNames()) {
		rarest = min(rarest, class.Count)
	}
	count := max(2, min(5, rarest/2))
	p.add("folds", strconv.Itoa(count), "one split shows %d subjects; %d folds show all %d, and tell how much depends on who is in which set", r.Validation, count, n)
}

func (p *proposal) proposeCrop() string {
	images, masks := 0, 0
	for n := range p.images {
		if i := &p.images[n]; i.readable() {
			images++
			masks += indicator(i.Mask != nil && i.Mask.problem == nil)
		}
	}
	switch {
	case masks == images:
		p.add("prep.crop", "mask", "every image has a mask: the grid is centred on it, and its surroundings stay visible")
		p.add("prep.margin", strconv.Itoa(proposedMargin), "mm around the mask, since the border of a tumour says something too")
		return "mask"
	case masks > 0:
		p.add("prep.crop", "foreground", "only %d of %d images have a usable mask, and all must be prepared alike", masks, images)
	default:
		p.add("prep.crop", "foreground", "without masks the grid is centred on what is not background")
	}
	p.add("prep.margin", strconv.Itoa(proposedMargin), "mm of background around the foreground")
	return "foreground"
}

// proposeGrid proposes grid and spacing for the training images, as
// prep.Choose does; the grid is returned, empty when 2D and 3D are mixed.
func (p *proposal) proposeGrid(crop string) []int {
	training := map[int]bool{}
	for _, n := range p.split.Train {
		training[n] = true
	}
	var extents []prep.Extent
	flat, finest := 0, math.Inf(1)
	for n := range p.images {
		i := &p.images[n]
		e, ok := i.extents[crop]
		if !i.readable() || !ok || !training[i.subject] {
			continue
		}
		for axis := range e.Size {
			e.Size[axis] += 2 * proposedMargin
		}
		extents = append(extents, e)
		flat += indicator(i.flat())
		finest = min(finest, i.inPlane())
	}
	if len(extents) == 0 || flat > 0 && flat < len(extents) {
		return nil
	}
	dims, most := 3, maxVoxels3D
	if flat > 0 {
		dims, most = 2, maxVoxels2D
	}
	grid, spacing := prep.Choose(extents, dims, most)
	var sizes, lengths, field []string
	for axis := 3 - dims; axis < 3; axis++ {
		sizes = append(sizes, strconv.Itoa(grid[axis]))
		lengths = append(lengths, yamlNumber(spacing[axis]))
		field = append(field, fmt.Sprintf("%.0f", float64(grid[axis])*spacing[axis]))
	}
	p.add("prep.grid", "["+strings.Join(sizes, ", ")+"]", "voxels along %s; at this spacing they cover %s mm, as nine of ten training images need", "DHW"[3-dims:], strings.Join(field, " x "))
	reason := "the images' own resolution, and what fits"
	if spacing[2] > 1.05*finest {
		reason = fmt.Sprintf("coarser than the finest image (%.3g mm) so that a training step takes about a second on two cores; halve it when there is more to compute with", finest)
	}
	p.add("prep.spacing", "["+strings.Join(lengths, ", ")+"]", "mm; %s", reason)
	return grid[3-dims:]
}

func (p *proposal) proposeBatch(dims, images int) {
	batch := 8
	if dims == 2 {
		batch = 32
	}
	proposed := max(2, min(batch, images/4))
	if proposed < batch {
		p.add("batch", strconv.Itoa(proposed), "%d training images give four steps or more in an epoch; batch norm gets noisier the smaller the batch", images)
		return
	}
	p.add("batch", strconv.Itoa(proposed), "enough for batch norm's statistics, and %d steps in an epoch of %d training images", (images+proposed-1)/proposed, images)
}

// proposeNet proposes as many blocks as halve the grid down to one voxel, four
// at most, and a width by the number of training subjects.
func (p *proposal) proposeNet(grid []int) {
	smallest := grid[0]
	for _, size := range grid {
		smallest = min(smallest, size)
	}
	blocks := 1
	for blocks < 4 && smallest>>(blocks+1) >= 1 {
		blocks++
	}
	p.add("net.name", fmt.Sprintf("cnn%d", blocks), "%d blocks halve the smallest side of %d voxels down to %d", blocks, smallest, smallest>>blocks)
	width := 16
	if len(p.split.Train) < 100 {
		width = 8
	}
	weights := float64(weightsOf(blocks, width, len(grid)))
	p.add("net.width", strconv.Itoa(width), "%.0f thousand weights for %d training subjects; four times as many at twice the width, without a subject more to fit them to", weights/1000, len(p.split.Train))
}

// weightsOf counts the weights of the convolutions, 3 voxels wide, each block
// doubling the channels.
func weightsOf(blocks, width, dims int) int {
	kernel := 9
	if dims == 3 {
		kernel = 27
	}
	sum, before := 0, 1
	for block := range blocks {
		now := width << block
		sum += kernel * before * now
		before = now
	}
	return sum
}

func yamlNumber(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// lowerFirst makes a sentence the part of another.
func lowerFirst(text string) string {
	return strings.ToLower(text[:1]) + strings.TrimSuffix(text[1:], ".")
}
