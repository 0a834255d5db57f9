// Package prep brings images onto one grid: it turns them to one orientation,
// crops, resamples, normalises and augments them, and
// keeps what it made in a cache. Training, validation and predicted images go
// through the same function, and equal input gives equal bits on any CPU.
package prep

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ballast/cohort"
)

// A Config says what every image of a run becomes. An empty word stands for the
// first of its choices.
//
// The steps follow one another in this order: orient, correct the bias field,
// crop, choose slices, resample, clip, standardise, normalise. Whatever a step
// looks at in a single image, it looks at in the resampled field, of that channel
// alone; only the foreground threshold, the bias field and the landmarks of a
// histogram come from the whole image.
type Config struct {
	Dims   int    // 2 or 3
	Orient string // "anatomy" (see Image) or "stored": W, H, D run as i, j, k of the file
	Bias   string // "none"; "n4": see CorrectBias

	// Crop names the box on whose centre the result is centred: "mask", the
	// bounding box of the mask; "foreground", that of the voxels that are not
	// background (see Foreground); "none", the whole image. Nothing inside the
	// grid is blanked, so the surroundings of a tumour stay visible.
	Crop string

	Slice    string     // of a 3D image in 2D: "middle" of the box, "mask-largest" or "all" of the box, one result each
	Margin   float64    // mm around the box, for Measure
	Grid     [3]int     // D, H, W voxels of the result; D = 1 in 2D
	Spacing  [3]float64 // mm per voxel of the result along D, H, W
	Resample string     // "linear", "cubic", "nearest" or "area": see filter
	Pad      string     // what lies outside the scanned field: "background" (see Ground) or a number in the units of the file

	Clip        []float64 // percentiles, low and high, that values are cut off at; none: values stay
	Standardise string    // "none"; "nyul": see Fitted
	Normalise   string    // "zscore": mean 0 and standard deviation 1; "minmax": from 0 to 1; "none"
	Over        string    // the voxels that Clip, Standardise and Normalise look at: "foreground", "mask" or "image"

	Channels int     // sequences per image; 0 counts as 1
	Fitted   *Fitted // what was fitted on the training subjects, for Standardise
}

// An Image is a prepared image, Data in the order (C, D, H, W), W fastest.
//
// In 3D the axes are RAS+: W runs towards the patient's right, H towards
// anterior, D towards superior. In 2D the picture looks as on a radiologist's
// screen: W runs from the left edge of the screen to the right, which in an
// axial or coronal slice is towards the patient's left and in a sagittal slice
// towards posterior; H runs from the top row down, towards posterior in an axial
// slice and inferior in the others. A PNG or JPEG keeps its rows and columns.
type Image struct {
	C, D, H, W int
	Data       []float32

	// Background is the value of empty space after normalisation: what lies
	// outside the scanned field, and what a shift brings in. Of several channels
	// it is that of the first.
	Background  float32
	Backgrounds []float32 // of each channel where there are several, else nil

	// NonFinite counts the voxels of the file that were NaN or infinite and were
	// replaced by its lowest value: a caller should warn of them.
	NonFinite int
}

// BackgroundOf returns the value of empty space in a channel.
func (m *Image) BackgroundOf(channel int) float32 {
	if m.Backgrounds == nil {
		return m.Background
	}
	return m.Backgrounds[channel]
}

// choices are the words that each setting can be; the first is the default.
var choices = map[string][]string{
	"orient":      {"anatomy", "stored"},
	"bias":        {"none", "n4"},
	"slice":       {"middle", "mask-largest", "all"},
	"resample":    {"linear", "cubic", "nearest", "area"},
	"standardise": {"none", "nyul"},
	"normalise":   {"zscore", "minmax", "none"},
	"over":        {"foreground", "mask", "image"},
}

// Choices lists the words that a setting can be (orient, bias, slice, resample,
// standardise, normalise, over), the default first.
func Choices(setting string) []string { return slices.Clone(choices[setting]) }

// complete replaces empty words by their defaults.
func (c Config) complete() Config {
	for setting, word := range c.words() {
		*word = cmp.Or(*word, choices[setting][0])
	}
	c.Pad = cmp.Or(c.Pad, "background")
	c.Channels = max(c.Channels, 1)
	return c
}

func (c *Config) words() map[string]*string {
	return map[string]*string{
		"orient": &c.Orient, "bias": &c.Bias, "slice": &c.Slice, "resample": &c.Resample,
		"standardise": &c.Standardise, "normalise": &c.Normalise, "over": &c.Over,
	}
}

// Check returns an error that names the first setting that cannot be used.
func (c Config) Check() error {
	c = c.complete()
	switch {
	case c.Dims != 2 && c.Dims != 3:
		return fmt.Errorf("%d dimensions: choose 2 or 3", c.Dims)
	case c.Crop != "mask" && c.Crop != "foreground" && c.Crop != "none":
		return fmt.Errorf("crop %q: choose mask, foreground or none", c.Crop)
	case !(c.Margin >= 0 && c.Margin <= 1e4):
		return fmt.Errorf("margin of %g mm: choose 0 or more", c.Margin)
	case c.Dims == 2 && c.Grid[0] != 1:
		return fmt.Errorf("a grid %d deep in 2D: its depth is 1", c.Grid[0])
	case c.Channels > 64:
		return fmt.Errorf("%d channels: choose at most 64", c.Channels)
	}
	for axis := range 3 {
		if c.Grid[axis] < 1 || c.Grid[axis] > 1<<15 {
			return fmt.Errorf("grid %v: every size must lie between 1 and 32768", c.Grid)
		}
		if !(c.Spacing[axis] >= 1e-3 && c.Spacing[axis] <= 1e3) {
			return fmt.Errorf("spacing %v mm: every value must lie between 0.001 and 1000", c.Spacing)
		}
	}
	return c.checkSteps()
}

// checkSteps checks the settings that have defaults.
func (c Config) checkSteps() error {
	words := c.words()
	for _, setting := range []string{"orient", "bias", "slice", "resample", "standardise", "normalise", "over"} {
		if word := *words[setting]; !slices.Contains(choices[setting], word) {
			return fmt.Errorf("%s %q: choose among %s", setting, word, strings.Join(choices[setting], ", "))
		}
	}
	if _, err := c.pad(0); err != nil {
		return err
	}
	if n := len(c.Clip); n != 0 && (n != 2 || !(c.Clip[0] >= 0 && c.Clip[0] < c.Clip[1] && c.Clip[1] <= 100)) {
		return fmt.Errorf("clip %v: give a low and a higher percentile between 0 and 100, or none", c.Clip)
	}
	if c.Standardise == "nyul" && c.Over == "mask" {
		return errors.New("standardise nyul takes its landmarks from the foreground or the whole image: choose over foreground or image")
	}
	if c.Fitted != nil {
		return c.Fitted.check(c.Channels)
	}
	return nil
}

// pad returns what lies outside the scanned field of an image.
func (c Config) pad(background float32) (float32, error) {
	if c.Pad == "background" || c.Pad == "" {
		return background, nil
	}
	x, err := strconv.ParseFloat(c.Pad, 32)
	if err != nil || x-x != 0 {
		return 0, fmt.Errorf("pad %q: choose background or a number in the units of the file", c.Pad)
	}
	return float32(x), nil
}

// NeedsMask reports whether an image cannot be prepared without its mask.
func (c Config) NeedsMask() bool {
	return c.Crop == "mask" || c.Over == "mask" || c.Dims == 2 && c.Slice == "mask-largest"
}

// Read reads an image, and its mask when the crop needs it; else the mask is nil.
func Read(image cohort.Image, crop string) (v, mask *cohort.Volume, err error) {
	if crop != "mask" {
		image.Mask = ""
	}
	return image.Load()
}

// Load reads an image and prepares it. It is for configurations that make one
// result of an image; LoadAll is for all.
func Load(image cohort.Image, c Config) (*Image, error) {
	images, err := LoadAll(image, c)
	if err != nil {
		return nil, err
	}
	if len(images) != 1 {
		return nil, fmt.Errorf("prepare %s: %d slices where one was expected", image.Path, len(images))
	}
	return images[0], nil
}

// LoadAll reads an image with its further sequences and prepares it: one result,
// or one per slice when c.Slice is "all".
func LoadAll(image cohort.Image, c Config) ([]*Image, error) {
	volumes, mask, err := readAll(image, c)
	if err != nil {
		return nil, err
	}
	prepared, err := PrepareAll(volumes, mask, c)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", image.Path, err)
	}
	release(append(volumes, mask)...)
	return prepared, nil
}

// release gives the memory of volumes back for those that are read next.
func release(volumes ...*cohort.Volume) {
	for _, v := range volumes {
		if v != nil {
			v.Release()
		}
	}
}

// readAll reads every sequence of an image, and the mask if it is needed.
func readAll(image cohort.Image, c Config) ([]*cohort.Volume, *cohort.Volume, error) {
	files := sequences(image)
	if n := max(c.Channels, 1); len(files) != n {
		return nil, nil, fmt.Errorf("read %s: %d sequences where the plan has %d channels; list one file for each", image.Path, len(files), n)
	}
	if !c.NeedsMask() {
		image.Mask = ""
	}
	first, mask, err := image.Load()
	if err != nil {
		return nil, nil, err
	}
	volumes := []*cohort.Volume{first}
	for _, path := range files[1:] {
		v, err := cohort.ReadVolume(path)
		if err != nil {
			return nil, nil, err
		}
		volumes = append(volumes, v)
	}
	return volumes, mask, nil
}

// Prepare prepares an image of one sequence; see PrepareAll.
func Prepare(v, mask *cohort.Volume, c Config) (*Image, error) {
	images, err := PrepareAll([]*cohort.Volume{v}, mask, c)
	if err != nil {
		return nil, err
	}
	if len(images) != 1 {
		return nil, fmt.Errorf("%d slices where one was expected", len(images))
	}
	return images[0], nil
}

// sequences lists the files of an image, a channel each.
func sequences(image cohort.Image) []string {
	return append([]string{image.Path}, image.Also...)
}
