// Package explain makes maps of where in an image a network finds what speaks for
// a class: Grad-CAM and occlusion, in the subject's own space.
//
// Such a map shows where the network looks, not why, and is no evidence of a
// biological cause. Sanity says how much of it would also come out of a network
// that has learnt nothing.
package explain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"ballast/cohort"
	"ballast/net"
	"ballast/prep"
	"ballast/stat"
)

// The methods.
const (
	GradCAM   = "gradcam"   // Selvaraju et al. 2017
	Occlusion = "occlusion" // Zeiler and Fergus 2014
)

// Predicted stands for the class with the largest probability.
const Predicted = -1

// ErrOptions is wrapped by complaints about Options.
var ErrOptions = errors.New("explanation cannot be made")

// ErrNotFinite is wrapped when a network's outputs are not numbers, as after a
// training that diverged.
var ErrNotFinite = errors.New("the network's outputs are not numbers")

// Options say what to make. The zero value, with Class set, is Grad-CAM with all
// defaults.
type Options struct {
	Method string // GradCAM or Occlusion; empty: GradCAM
	Class  int    // index of the class, or Predicted

	Layer string // of Grad-CAM: see net.Net.ActivationLayers; empty: the activation of the last convolution, before it is pooled

	Box    [3]int // of occlusion: voxels of the grid that are covered along D, H, W; 0: about 1/8 of the axis
	Stride [3]int // of occlusion: voxels between boxes; 0: half a box
	Fill   string // of occlusion: what covers, FillMean or FillBackground; empty: FillMean

	Random int    // networks of random weights to compare with; 0: none
	Seed   uint64 // of the random networks

	// Progress is called with the passes through the network that are done and
	// those that there are, from one goroutine; may be nil.
	Progress func(done, of int)
}

// A Model is a trained network with what belongs to it.
type Model struct {
	Net    *net.Net
	Config prep.Config // of its images
}

// A Subject is the images of one patient and what the network is told beside them.
type Subject struct {
	Images     []cohort.Image
	Covariates []float32 // as the network takes them; empty when it takes none
}

// An Explanation is the maps of a subject's images for one class.
type Explanation struct {
	Method        string
	Layer         string // of Grad-CAM
	Class         int
	Probabilities []float64 // of the subject: the mean over its images, or of its bag under attention
	Passes        int       // through the network
	Maps          []*Map    // one per image
	Sanity        *Sanity   // nil when there were no random networks
}

// A Map is what speaks for the class in one image.
type Map struct {
	Image  *cohort.Volume // the first sequence
	Mask   *cohort.Volume // nil when there is none
	Volume *cohort.Volume // the map, in the space of Image; zero outside the field of view
	Field  *cohort.Volume // 1 in the field of view, 0 outside
	Slices int            // results of the preparation: 1, or the slices of a volume in 2D
	Peak   *Peak          // nil when no voxel is positive
	Trough *Peak          // the lowest value; nil when no voxel is negative, as of Grad-CAM
	Inside *Inside        // nil without a mask, or where the map is zero
}

// A work is an explanation that is being made.
type work struct {
	Model
	Options
	subject   Subject
	attention bool // the images of the subject are pooled by attention
	results   []result
	images    []*Map
	done      int
	passes    int
}

// A result is one prepared image.
type result struct {
	image    int // index into work.images
	prepared *prep.Image
	field    *prep.Field
}

// Explain makes the maps of a subject. The error wraps ErrOptions or net.ErrLayer
// for options that do not fit the network and ErrNotFinite for a network that
// predicts nothing, and says which image could not be read.
func Explain(ctx context.Context, m Model, subject Subject, o Options) (*Explanation, error) {
	w := &work{Model: m, Options: o, subject: subject, attention: m.Net.Config().Pooling == "attention"}
	if err := w.complete(); err != nil {
		return nil, err
	}
	for _, image := range subject.Images {
		if err := w.load(image); err != nil {
			return nil, err
		}
	}
	e := &Explanation{Method: w.Method, Probabilities: w.probabilities(w.Net), Maps: w.images}
	if w.Method == GradCAM {
		e.Layer = w.Layer
	}
	if slices.ContainsFunc(e.Probabilities, math.IsNaN) {
		return nil, fmt.Errorf("explain %s: %w; its training diverged", subject.Images[0].Path, ErrNotFinite)
	}
	if w.Class == Predicted {
		w.Class = slices.Index(e.Probabilities, slices.Max(e.Probabilities))
	}
	w.passes = w.countPasses()
	e.Class, e.Passes = w.Class, w.passes
	maps, err := w.mapsOf(ctx, w.Net)
	if err != nil {
		return nil, err
	}
	w.place(maps)
	if w.Random > 0 {
		e.Sanity, err = w.sanity(ctx, maps)
	}
	return e, err
}

// complete fills in defaults and refuses what does not fit.
func (w *work) complete() error {
	if len(w.subject.Images) == 0 {
		return fmt.Errorf("a subject without images: %w", ErrOptions)
	}
	config := w.Net.Config()
	if w.Class != Predicted && (w.Class < 0 || w.Class >= config.Classes) {
		return fmt.Errorf("class %d of %d: %w", w.Class, config.Classes, ErrOptions)
	}
	if len(w.subject.Covariates) != config.Covariates {
		return fmt.Errorf("%d covariates for a network with %d: %w", len(w.subject.Covariates), config.Covariates, ErrOptions)
	}
	switch w.Method {
	case "", GradCAM:
		w.Method = GradCAM
		if w.Layer == "" {
			w.Layer = w.Net.FinestLastLayer()
		}
		return w.Net.CheckLayer(w.Layer)
	case Occlusion:
		return w.completeOcclusion()
	}
	return fmt.Errorf("method %q: choose %s or %s: %w", w.Method, GradCAM, Occlusion, ErrOptions)
}

// load reads and prepares an image.
func (w *work) load(image cohort.Image) error {
	prepared, fields, v, mask, err := prep.LoadFields(image, w.Config)
	if err != nil {
		return err
	}
	for i := range prepared {
		w.results = append(w.results, result{image: len(w.images), prepared: prepared[i], field: fields[i]})
	}
	w.images = append(w.images, &Map{Image: v, Mask: mask, Slices: len(prepared)})
	return nil
}

// features returns the rows of the network's features of all results.
func (w *work) features(n *net.Net) []float32 {
	var rows []float32
	for _, r := range w.results {
		rows = append(rows, n.Features(batchOf(r.prepared), net.Inference, 0)[:n.FeatureStride()]...)
	}
	return rows
}

func batchOf(image *prep.Image) *net.Batch {
	return &net.Batch{N: 1, C: image.C, D: image.D, H: image.H, W: image.W, Data: image.Data}
}

// covariates repeats the subject's covariates for so many samples.
func (w *work) covariates(samples int) []float32 {
	var rows []float32
	for range samples {
		rows = append(rows, w.subject.Covariates...)
	}
	return rows
}

// probabilities returns those of the subject.
func (w *work) probabilities(n *net.Net) []float64 {
	rows := w.features(n)
	samples, bags := len(w.results), []int(nil)
	if w.attention {
		samples, bags = 1, []int{len(w.results)}
	}
	logits := n.Classify(rows, bags, w.covariates(samples), net.Inference, 0)
	classes := len(logits) / samples
	mean := make([]float64, classes)
	for sample := range samples {
		for class, p := range softmax(logits[sample*classes:][:classes]) {
			mean[class] += p / float64(samples)
		}
	}
	return mean
}

func softmax(logits []float32) []float64 {
	largest := float64(slices.Max(logits))
	p, sum := make([]float64, len(logits)), 0.0
	for class, z := range logits {
		p[class] = stat.Exp(float64(z) - largest)
		sum += p[class]
	}
	for class := range p {
		p[class] /= sum
	}
	return p
}

// mapsOf returns the maps on the grid (D, H, W) of all results by one network.
func (w *work) mapsOf(ctx context.Context, n *net.Net) ([][]float32, error) {
	if w.Method == Occlusion {
		return w.occlusionMaps(ctx, n)
	}
	return w.gradCAMMaps(ctx, n)
}

// countPasses returns the passes through the network that all maps need.
func (w *work) countPasses() int {
	each := len(w.results)
	if w.Method == Occlusion {
		each *= w.boxes() + 1
	}
	return each * (1 + w.Random)
}

// pass counts passes through the network.
func (w *work) pass(count int) {
	w.done += count
	if w.Progress != nil {
		w.Progress(w.done, w.passes)
	}
}
