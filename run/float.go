package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Float is a float64 that survives JSON: numbers are written with the
// fewest digits that read back to the same bits, and values JSON has no number
// for as the strings "NaN", "Infinity" and "-Infinity".
type Float float64

// MarshalJSON implements json.Marshaler.
func (f Float) MarshalJSON() ([]byte, error) {
	x := float64(f)
	switch {
	case math.IsNaN(x):
		return []byte(`"NaN"`), nil
	case math.IsInf(x, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(x, -1):
		return []byte(`"-Infinity"`), nil
	}
	return json.Marshal(x)
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *Float) UnmarshalJSON(data []byte) error {
	switch text := string(data); text {
	case `"NaN"`, "null":
		*f = Float(math.NaN())
	case `"Infinity"`:
		*f = Float(math.Inf(1))
	case `"-Infinity"`:
		*f = Float(math.Inf(-1))
	default:
		x, err := parseFloat(text, 64)
		if err != nil {
			return err
		}
		*f = Float(x)
	}
	return nil
}

// MarshalJSON implements json.Marshaler: an array of numbers, each with the
// fewest digits that read back to the same float32; null when r is nil.
func (r Row) MarshalJSON() ([]byte, error) {
	if r == nil {
		return []byte("null"), nil
	}
	text := make([]byte, 0, 2+12*len(r))
	text = append(text, '[')
	for i, x := range r {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendFloat32(text, x)
	}
	return append(text, ']'), nil
}

// appendFloat32 writes x as encoding/json writes a float32, and non-finite
// values as Float does.
func appendFloat32(text []byte, x float32) []byte {
	wide := float64(x)
	switch {
	case math.IsNaN(wide):
		return append(text, `"NaN"`...)
	case math.IsInf(wide, 1):
		return append(text, `"Infinity"`...)
	case math.IsInf(wide, -1):
		return append(text, `"-Infinity"`...)
	}
	number, _ := json.Marshal(x) // never fails on a finite number
	return append(text, number...)
}

// UnmarshalJSON implements json.Unmarshaler. Numbers are rounded to the
// nearest float32.
func (r *Row) UnmarshalJSON(data []byte) error {
	text := string(bytes.TrimSpace(data))
	if text == "null" {
		*r = nil
		return nil
	}
	inside, isArray := strings.CutPrefix(text, "[")
	if !isArray {
		return fmt.Errorf("a row of probabilities is an array of numbers or null, not %s", abbreviate(text))
	}
	inside = strings.TrimSpace(strings.TrimSuffix(inside, "]"))
	*r = make(Row, 0, strings.Count(inside, ",")+1)
	if inside == "" {
		return nil
	}
	for value := range strings.SplitSeq(inside, ",") {
		x, err := parseFloat32(strings.TrimSpace(value))
		if err != nil {
			return err
		}
		*r = append(*r, x)
	}
	return nil
}

func parseFloat32(text string) (float32, error) {
	switch text {
	case `"NaN"`, "null":
		return float32(math.NaN()), nil
	case `"Infinity"`:
		return float32(math.Inf(1)), nil
	case `"-Infinity"`:
		return float32(math.Inf(-1)), nil
	}
	x, err := parseFloat(text, 32)
	return float32(x), err
}

func parseFloat(text string, bits int) (float64, error) {
	x, err := strconv.ParseFloat(text, bits)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%s is beyond the range of a %d-bit float", abbreviate(text), bits)
	case err != nil:
		return 0, fmt.Errorf("%s is not a number", abbreviate(text))
	}
	return x, nil
}

// abbreviate keeps a damaged value from flooding an error line.
func abbreviate(text string) string {
	const most = 40
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}
