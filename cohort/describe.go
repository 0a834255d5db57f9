package cohort

import (
	"encoding/json"
	"fmt"
	"math"
)

// A Description is what a file holds, as `ballast volume` prints it.
type Description struct {
	File        string        `json:"file"`
	Format      string        `json:"format"`               // NIfTI-1, NIfTI-2, DICOM, PNG, JPEG, TIFF or BMP, and which kind of it
	ByteOrder   string        `json:"byte_order,omitempty"` // little or big, where the format leaves it open
	Shape       []int         `json:"shape"`                // as stored, i fastest, trailing axes of size 1 included
	Dtype       string        `json:"dtype"`                // of the stored numbers
	Spacing     [3]float64    `json:"spacing"`              // mm between voxel centres along i, j, k
	Affine      [4][4]float64 `json:"affine"`               // voxel index (i, j, k, 1) to RAS+ world coordinates in mm
	Orientation string        `json:"orientation"`          // towards where i, j, k run, such as LAS
	Scaling     Scaling       `json:"scaling"`

	// Statistics of the scaled, finite values of all volumes; the standard
	// deviation divides by their number. Colours count as luminance.
	Min       Number `json:"min"`
	Max       Number `json:"max"`
	Mean      Number `json:"mean"`
	Std       Number `json:"std"`
	NonFinite int    `json:"non_finite"` // values that are NaN or infinite

	Extensions     int    `json:"extensions"`                // of a NIfTI header
	ExtensionCodes []int  `json:"extension_codes,omitempty"` // 2 DICOM, 4 AFNI, 6 comment, ...
	Volumes        int    `json:"volumes"`                   // three-dimensional images in the file
	Volume         *int   `json:"volume,omitempty"`          // the only one that shape and statistics speak of, when one was chosen
	Notes          []Note `json:"notes"`
}

// Scaling turns stored numbers into values: stored * Slope + Intercept.
type Scaling struct {
	Slope     float64 `json:"slope"`
	Intercept float64 `json:"intercept"`
}

// A Note says what is unusual about a file, in the manner of nibabel's header
// checks: the file can be read all the same.
type Note struct {
	Level   string `json:"level"`   // LevelInfo or LevelWarning
	Problem string `json:"problem"` // what is unusual
	Fix     string `json:"fix"`     // what was done about it, or what to do
}

// LevelWarning is for what may make the image mean something else than it seems
// to, LevelInfo for what is harmless or taken care of.
const (
	LevelInfo    = "info"
	LevelWarning = "warning"
)

// A Number is a float64 that JSON shows as null when it is not finite.
type Number float64

// MarshalJSON writes the shortest text that reads back as the same number.
func (n Number) MarshalJSON() ([]byte, error) {
	if x := float64(n); x-x == 0 {
		return json.Marshal(x)
	}
	return []byte("null"), nil
}

// Describe reads a whole file, all its volumes, in bounded memory. Errors are
// those of ReadVolume, except that several volumes are none.
func Describe(path string) (*Description, error) { return DescribeAt(path, Unchosen) }

// DescribeAt is Describe for one volume of several: shape and statistics are
// those of the volume alone.
func DescribeAt(path string, index int) (*Description, error) {
	file, err := openImage(path)
	if err != nil {
		return nil, readError(path, err)
	}
	defer file.Close()
	d, err := file.describe(index)
	if err != nil {
		return nil, readError(path, err)
	}
	d.File = path
	return d.tidy(), nil
}

// tidy makes an empty list of notes show as such in JSON.
func (d *Description) tidy() *Description {
	if d.Notes == nil {
		d.Notes = []Note{}
	}
	return d
}

// locate fills what follows from the affine.
func (d *Description) locate(affine [3][4]float64) {
	v := &Volume{Affine: affine, Spacing: spacingOf(affine)}
	copy(d.Affine[:], affine[:])
	d.Affine[3] = [4]float64{3: 1}
	d.Spacing, d.Orientation = v.Spacing, v.AxisCodes()
}

// choose limits the description to one volume of several.
func (d *Description) choose(volume int) {
	d.Volume = &volume
	d.Shape = d.Shape[:min(3, len(d.Shape))]
}

// note adds what is unusual.
func (d *Description) note(level, fix, problem string, values ...any) {
	d.Notes = append(d.Notes, Note{level, fmt.Sprintf(problem, values...), fix})
}

// AxisCodes says in three letters towards where i, j and k run: R or L, A or P,
// S or I (as nibabel's aff2axcodes).
func (v *Volume) AxisCodes() string {
	world, reversed := v.Orientation()
	codes := make([]byte, 3)
	for axis := range codes {
		codes[axis] = "RAS"[world[axis]]
		if reversed[axis] {
			codes[axis] = "LPI"[world[axis]]
		}
	}
	return string(codes)
}

// Moments sum up numbers that come block by block: count, range, mean and the
// sum of squared differences from the mean (Chan, Golub & LeVeque 1983).
type moments struct {
	count, nonFinite int
	min, max         float64
	mean, squares    float64
}

func (m *moments) add(values []float64) {
	count, sum := 0, 0.0
	for _, x := range values {
		if x-x != 0 {
			continue
		}
		if m.count+count == 0 {
			m.min, m.max = x, x
		}
		m.min, m.max = min(m.min, x), max(m.max, x)
		sum += x
		count++
	}
	m.nonFinite += len(values) - count
	if count == 0 {
		return
	}
	mean, squares := sum/float64(count), 0.0
	for _, x := range values {
		if d := x - mean; x-x == 0 {
			squares += float64(d * d)
		}
	}
	total := float64(m.count + count)
	d := mean - m.mean
	m.squares += squares + float64(d*d*float64(m.count)*float64(count)/total)
	m.mean += float64(d * float64(count) / total)
	m.count += count
}

func (m *moments) addNarrow(values []float32) {
	wide := make([]float64, min(block, len(values)))
	for len(values) > 0 {
		wide = wide[:min(len(wide), len(values))]
		for n := range wide {
			wide[n] = float64(values[n])
		}
		m.add(wide)
		values = values[len(wide):]
	}
}

// fill writes the statistics and notes what is unusual about them.
func (m *moments) fill(d *Description) {
	d.NonFinite = m.nonFinite
	if m.count == 0 {
		nan := Number(math.NaN())
		d.Min, d.Max, d.Mean, d.Std = nan, nan, nan, nan
	} else {
		d.Min, d.Max, d.Mean = Number(m.min), Number(m.max), Number(m.mean)
		d.Std = Number(math.Sqrt(m.squares / float64(m.count)))
	}
	switch total := m.count + m.nonFinite; {
	case 2*m.nonFinite > total:
		d.note(LevelWarning, "training refuses the image; give empty space a number, such as 0", "%d of %d values are NaN or infinite", m.nonFinite, total)
	case m.nonFinite > 0:
		d.note(LevelInfo, "read as the lowest finite value of the volume", "%d of %d values are NaN or infinite", m.nonFinite, total)
	}
	if m.count > 0 && m.min == m.max {
		d.note(LevelWarning, "training refuses the image; look for the step that emptied it", "all values are %g", m.min)
	}
	if m.count > 0 && max(-m.min, m.max) > math.MaxFloat32 {
		d.note(LevelWarning, "scale the image; float32, in which ballast computes, ends at 3.4e38", "values up to %g", max(-m.min, m.max))
	}
}
