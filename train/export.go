package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"ballast/net"
	"ballast/prep"
)

// ExportFormat is the version of what exported files say about themselves.
const ExportFormat = 1

// An Export is the trained network of a run, to be used by other programs.
type Export struct {
	predictor *Predictor
	creator   string
	step      string // optimiser steps taken, of the weights' file
}

// OpenExport reads one of the weights of a run (LastWeights, BestWeights,
// AveragedWeights). The creator is the program and version that exports.
func OpenExport(dir, weights, creator string) (*Export, error) {
	predictor, err := NewPredictor(dir, weights, 1)
	if err != nil {
		return nil, err
	}
	predictor.Close()
	_, _, metadata, err := readSafetensors(filepath.Join(dir, filepath.FromSlash(weightsFile[weights])))
	if err != nil {
		return nil, err
	}
	return &Export{predictor: predictor, creator: creator, step: metadata["step"]}, nil
}

// Config is the network.
func (e *Export) Config() net.Config { return e.predictor.net.Config() }

// Classes are the names of the classes, in the order of the outputs.
func (e *Export) Classes() []string { return e.predictor.Classes }

// InputShape is the shape of the images that the network takes, such as
// "N, 1, 32, 48, 48".
func (e *Export) InputShape() string {
	c := e.Config()
	text := fmt.Sprintf("N, %d", c.Channels)
	for _, size := range c.Size[3-c.Dims:] {
		text += fmt.Sprintf(", %d", size)
	}
	return text
}

// WriteONNX writes the network with its weights as ONNX; see net.WriteONNX. The
// metadata says how an image is prepared.
func (e *Export) WriteONNX(w io.Writer) error {
	producer, version, _ := strings.Cut(e.creator, " ")
	return e.predictor.net.WriteONNX(w, net.ONNX{Producer: producer, Version: version, Doc: e.doc(), Metadata: e.Metadata()})
}

// WriteSafetensors writes the weights with PyTorch's names and shapes. The
// metadata says what the network is and how an image is prepared.
func (e *Export) WriteSafetensors(w io.Writer) error {
	metadata := e.Metadata()
	metadata["format"] = "pt"
	return net.WriteSafetensors(w, e.predictor.net.State(nil), metadata)
}

func (e *Export) doc() string {
	return fmt.Sprintf("Classifies a prepared image as %s. The metadata says how an image is prepared: key \"preprocessing\".", strings.Join(e.predictor.Classes, ", "))
}

// Metadata is what an exported file says about itself, as docs/exporting.md
// documents it: texts, and JSON where there is more to say.
func (e *Export) Metadata() map[string]string {
	p := e.predictor
	plan := sha256.Sum256(p.Run.Plan)
	all := map[string]string{
		"ballast.format": fmt.Sprint(ExportFormat),
		"creator":        e.creator,
		"classes":        jsonText(p.Classes),
		"network":        e.Config().JSON(),
		"preprocessing":  jsonText(describePreparation(p.Config)),
		"weights":        p.Weights,
		"step":           e.step,
		"subject":        subjectRule(e.Config()),
		"plan":           string(p.Run.Plan),
		"plan.sha256":    hex.EncodeToString(plan[:]),
	}
	if p.Covariates != nil {
		all["covariates"] = string(p.Covariates.JSON())
	}
	return all
}

// subjectRule says how the images of a subject become one prediction.
func subjectRule(c net.Config) string {
	if c.Pooling == "attention" {
		return "one call with all images of a subject gives its probabilities"
	}
	return "the probabilities of a subject are the mean of those of its images"
}

// jsonText writes a value without HTML escapes.
func jsonText(value any) string {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		panic("train: metadata cannot be written: " + err.Error()) // a plan holds finite numbers only
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// A preparation is what "preprocessing" holds.
type preparation struct {
	Dims        int          `json:"dims"`
	Channels    int          `json:"channels"`
	Orient      string       `json:"orient"`
	Bias        string       `json:"bias"`
	Crop        string       `json:"crop"`
	Slice       string       `json:"slice,omitempty"`
	Grid        []int        `json:"grid"`
	Spacing     []float64    `json:"spacing_mm"`
	Resample    string       `json:"resample"`
	Pad         string       `json:"pad"`
	Clip        []float64    `json:"clip,omitempty"`
	Standardise string       `json:"standardise"`
	Fitted      *prep.Fitted `json:"fitted,omitempty"`
	Normalise   string       `json:"normalise"`
	Over        string       `json:"over"`
	Steps       []string     `json:"steps"`
}

func describePreparation(c prep.Config) preparation {
	axes := 3 - c.Dims
	return preparation{
		Dims: c.Dims, Channels: max(1, c.Channels), Orient: c.Orient, Bias: c.Bias, Crop: c.Crop, Slice: c.Slice,
		Grid: c.Grid[axes:], Spacing: c.Spacing[axes:], Resample: c.Resample, Pad: c.Pad, Clip: c.Clip,
		Standardise: c.Standardise, Fitted: c.Fitted, Normalise: c.Normalise, Over: c.Over, Steps: preparationSteps(c),
	}
}

// preparationSteps says in words what is done to an image, in order.
func preparationSteps(c prep.Config) []string {
	steps := []string{orientStep(c)}
	if c.Bias == "n4" {
		steps = append(steps, "estimate the bias field by N4 and divide it out")
	}
	steps = append(steps, resampleStep(c))
	over := map[string]string{"foreground": "the foreground on the grid", "mask": "the mask on the grid", "image": "the whole grid"}[c.Over]
	if len(c.Clip) == 2 {
		steps = append(steps, fmt.Sprintf("clip to percentiles %g and %g of %s", c.Clip[0], c.Clip[1], over))
	}
	if c.Standardise == "nyul" {
		steps = append(steps, "map the landmarks of the image's histogram to those in \"fitted\", linearly in between")
	}
	switch c.Normalise {
	case "zscore":
		steps = append(steps, "subtract the mean and divide by the standard deviation (divisor n) of "+over)
	case "minmax":
		steps = append(steps, "subtract the minimum and divide by the range of "+over)
	}
	return steps
}

func resampleStep(c prep.Config) string {
	where := map[string]string{"mask": "the bounding box of the mask", "foreground": "the bounding box of what is brighter than background", "none": "the whole image"}[c.Crop]
	if c.Dims == 2 {
		where += map[string]string{"middle": ", in its middle slice", "mask-largest": ", in the slice where the mask is largest", "all": ", in each of its slices by itself"}[c.Slice]
	}
	how, outside := c.Resample, c.Pad
	if how != "nearest" {
		how += ", antialiased where the grid is coarser"
	}
	if outside == "background" {
		outside = "the background value"
	}
	axes := 3 - c.Dims
	return fmt.Sprintf("resample (%s) to a grid of %s at %s mm, centred on %s; outside the image lies %s",
		how, times(c.Grid[axes:]), times(c.Spacing[axes:]), where, outside)
}

func orientStep(c prep.Config) string {
	switch {
	case c.Orient == "stored":
		return "keep the axes as the file stores them: W, H, D are i, j, k"
	case c.Dims == 2:
		return "turn the slice to a radiologist's screen; a picture keeps its rows and columns"
	}
	return "turn the axes to RAS+: W towards the patient's right, H anterior, D superior"
}

// times writes sizes as "32 x 48 x 48".
func times[T int | float64](sizes []T) string {
	var words []string
	for _, size := range sizes {
		words = append(words, fmt.Sprint(size))
	}
	return strings.Join(words, " x ")
}
