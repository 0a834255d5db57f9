package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"ballast/cohort"
	"ballast/prep"
)

// ImageFacts is what is remembered of one image. When Error is set nothing else
// is known of it.
type ImageFacts struct {
	Path      string     `json:"path"` // relative to the cohort where it lies inside
	Subject   string     `json:"subject"`
	Class     int        `json:"class"` // index into the fingerprint's classes
	Error     string     `json:"error,omitempty"`
	Shape     [3]int     `json:"shape"`       // voxels along i, j, k
	Spacing   [3]float64 `json:"spacing_mm"`  // along i, j, k
	Direction string     `json:"orientation"` // where i, j, k run to: "RAS", "LPS"
	Encoding  string     `json:"encoding"`    // how voxels are stored: "int16", "8-bit JPEG"
	NonFinite int        `json:"non_finite"`  // NaN or infinite voxels
	Min       float64    `json:"min"`
	Max       float64    `json:"max"`
	Mean      float64    `json:"mean"`               // of the foreground
	Deviation float64    `json:"standard_deviation"` // of the foreground
	Filled    float64    `json:"foreground"`         // share of voxels that are no background
	Volume    float64    `json:"foreground_ml"`
	Mask      *MaskFacts `json:"mask,omitempty"`
	Voxels    string     `json:"voxels_sha256"` // equal for images whose shape and voxels are equal, however they are stored
	Hash      string     `json:"perceptual_hash"`
	Warnings  []string   `json:"warnings,omitempty"` // of the header, as `ballast volume` shows them

	subject   int
	source    cohort.Image
	equal     []string // pairs of sequences with equal voxels
	apart     []string // sequences that lie elsewhere
	problem   error
	quantiles []float32 // 0, 1/sketch ... 1 of the foreground
	extents   map[string]prep.Extent
	signature *signature
}

// MaskFacts is what is remembered of a mask.
type MaskFacts struct {
	Path   string  `json:"path"`
	Error  string  `json:"error,omitempty"`
	Voxels int     `json:"voxels"` // above 0
	Share  float64 `json:"share"`  // of the image
	Volume float64 `json:"ml"`

	problem error
}

func (i *ImageFacts) readable() bool { return i.problem == nil }

// inPlane and through return the finest spacing and the coarsest.
func (i *ImageFacts) inPlane() float64 { return slices.Min(i.Spacing[:]) }
func (i *ImageFacts) through() float64 { return slices.Max(i.Spacing[:]) }

// flat tells a 2D image.
func (i *ImageFacts) flat() bool { return slices.Min(i.Shape[:]) == 1 }

// measureAll reads every image of the cohort.
func measureAll(ctx context.Context, c *cohort.Cohort, o Options) ([]ImageFacts, error) {
	s := &study{cohort: c}
	var sources []cohort.Image
	for n, subject := range c.Subjects {
		for _, image := range subject.Images {
			sources = append(sources, image)
			s.images = append(s.images, ImageFacts{Path: s.name(image.Path), Subject: subject.ID, Class: subject.Class, subject: n, source: image})
		}
	}
	err := inParallel(ctx, len(sources), o.Threads, func(n int) {
		s.measure(&s.images[n], sources[n])
		if o.Measured != nil {
			o.Measured()
		}
	})
	return s.images, err
}

// inParallel calls f for 0..n-1 on some threads, until the context is cancelled.
func inParallel(ctx context.Context, n, threads int, f func(int)) error {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range max(1, min(threads, n)) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(i)
			}
		})
	}
	workers.Wait()
	return ctx.Err()
}

func (s *study) measure(facts *ImageFacts, source cohort.Image) {
	fail := func(err error) { facts.problem, facts.Error = err, err.Error() }
	v, d, err := cohort.ReadDescribed(source.Path, source.Volume)
	if err == nil {
		if err = v.Check(); err != nil {
			err = fmt.Errorf("read %s: %w", source.Path, err)
		}
	}
	if err != nil {
		fail(err)
		return
	}
	facts.Shape, facts.Spacing, facts.NonFinite = v.Shape, v.Spacing, v.NonFinite
	facts.Direction, facts.Encoding = d.Orientation, d.Dtype+" "+d.Format
	for _, note := range d.Notes {
		if note.Level == cohort.LevelWarning {
			facts.Warnings = append(facts.Warnings, note.Problem)
		}
	}
	facts.Voxels = contentHash(v)
	facts.measureIntensity(v, prep.Foreground(v))
	facts.extents = map[string]prep.Extent{}
	for _, crop := range []string{"none", "foreground"} {
		facts.measureExtent(v, nil, crop)
	}
	facts.signature = newSignature(v)
	if source.Mask != "" {
		facts.Mask = s.measureMask(facts, v, source.Mask)
	}
	s.measureSequences(facts, v, source.Also)
	v.Release()
}

func (i *ImageFacts) measureExtent(v, mask *cohort.Volume, crop string) {
	if e, err := prep.Measure(v, mask, crop, 0); err == nil {
		i.extents[crop] = e
	} else if crop == "none" {
		i.problem, i.Error = err, err.Error() // nothing can be prepared from it
	}
}

func (s *study) measureMask(facts *ImageFacts, v *cohort.Volume, path string) *MaskFacts {
	m := &MaskFacts{Path: s.name(path)}
	mask, err := cohort.ReadMask(path)
	if err == nil {
		err = v.SameGrid(mask)
	}
	if err != nil {
		m.problem, m.Error = err, err.Error()
		return m
	}
	for _, x := range mask.Data {
		if x > 0 {
			m.Voxels++
		}
	}
	m.Share = float64(m.Voxels) / float64(len(mask.Data))
	m.Volume = float64(m.Voxels) * millilitres(v)
	facts.measureExtent(v, mask, "mask")
	mask.Release()
	return m
}

// millilitres is the volume of a voxel, of a 2D image that of its area 1 mm thick.
func millilitres(v *cohort.Volume) float64 {
	return v.Spacing[0] * v.Spacing[1] * v.Spacing[2] / 1000
}

// contentHash is the SHA-256 of shape and voxels as float32, so that it does
// not depend on the file's type, compression or header.
func contentHash(v *cohort.Volume) string {
	digest := sha256.New()
	buffer := make([]byte, 0, 1<<16)
	for _, size := range v.Shape {
		buffer = binary.LittleEndian.AppendUint32(buffer, uint32(size))
	}
	for _, x := range v.Data {
		buffer = binary.LittleEndian.AppendUint32(buffer, math.Float32bits(x+0)) // -0 is 0
		if len(buffer) > 1<<16-4 {
			digest.Write(buffer)
			buffer = buffer[:0]
		}
	}
	digest.Write(buffer)
	return hex.EncodeToString(digest.Sum(nil))
}

// sketch is the number of equal parts into which quantiles divide the foreground.
const sketch = 64

// measureIntensity looks at all voxels for moments and at up to 2^16, evenly
// spread, for quantiles.
func (i *ImageFacts) measureIntensity(v *cohort.Volume, ground prep.Ground) {
	inside := ground.Contains
	count := 0
	for _, x := range v.Data {
		if inside(x) {
			count++
		}
	}
	if count < 2 {
		inside, count = func(float32) bool { return true }, len(v.Data)
	}
	i.Min, i.Max = math.Inf(1), math.Inf(-1)
	sum, sample := 0.0, []float32{}
	every, nth := (count+1<<16-1)/(1<<16), 0
	for _, x := range v.Data {
		i.Min, i.Max = min(i.Min, float64(x)), max(i.Max, float64(x))
		if !inside(x) {
			continue
		}
		sum += float64(x)
		if nth%every == 0 {
			sample = append(sample, x)
		}
		nth++
	}
	i.Mean = sum / float64(count)
	square := 0.0
	for _, x := range v.Data {
		if inside(x) {
			d := float64(x) - i.Mean
			square += d * d
		}
	}
	i.Deviation = math.Sqrt(square / float64(count))
	i.Filled = float64(count) / float64(len(v.Data))
	i.Volume = float64(count) * millilitres(v)
	slices.Sort(sample)
	for n := range sketch + 1 {
		i.quantiles = append(i.quantiles, sample[n*(len(sample)-1)/sketch])
	}
}

// is tells whether the image could not be used for the reason.
func (i *ImageFacts) is(reason error) bool { return errors.Is(i.problem, reason) }

func (m *MaskFacts) is(reason error) bool { return errors.Is(m.problem, reason) }
