package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"ballast/prep"
)

// drawsFormat is the version of the file that look --record writes.
const drawsFormat = 1

// recordedDraws is that file: docs/augmentation.md.
type recordedDraws struct {
	Format int            `json:"format"`
	Draws  []recordedDraw `json:"draws"`
}

type recordedDraw struct {
	Subject string    `json:"subject"`
	Image   int       `json:"image"` // of the subject, from 0
	Epoch   int       `json:"epoch"`
	Draw    prep.Draw `json:"draw"`
}

func writeDraws(path string, rows []*lookRow) error {
	record := recordedDraws{Format: drawsFormat, Draws: []recordedDraw{}}
	for _, row := range rows {
		for _, epoch := range row.Epochs {
			record.Draws = append(record.Draws, recordedDraw{row.Subject, row.Image, epoch.Epoch, epoch.Draw})
		}
	}
	text, err := json.MarshalIndent(record, "", " ")
	if err == nil {
		err = writeWhole(path, append(text, '\n'), []byte("{"))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, withoutPath(err))
	}
	return nil
}

// maxDraws is the largest file of draws that is read, in bytes.
const maxDraws = 64 << 20

// readDraws gives the rows the recorded draws of their subjects and images.
func readDraws(path string, rows []*lookRow) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read draws: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxDraws+1))
	if err == nil && len(text) > maxDraws {
		err = fmt.Errorf("more than %d bytes", maxDraws)
	}
	var record recordedDraws
	if err == nil {
		record, err = parseDraws(text)
	}
	if err != nil {
		return fmt.Errorf("read draws %s: %w", path, err)
	}
	used := 0
	for _, row := range rows {
		for _, drawn := range record.Draws {
			if drawn.Subject == row.Subject && drawn.Image == row.Image {
				row.Epochs = append(row.Epochs, &lookEpoch{Epoch: drawn.Epoch, Draw: drawn.Draw})
				used++
			}
		}
		if len(row.Epochs) > mostEpochs {
			return fmt.Errorf("read draws %s: %d draws of subject %s; a sheet shows at most %d", path, len(row.Epochs), row.Subject, mostEpochs)
		}
	}
	if used == 0 {
		return fmt.Errorf("read draws %s: none of its %d draws is of an image shown; choose its subjects with --subject", path, len(record.Draws))
	}
	return nil
}

func parseDraws(text []byte) (record recordedDraws, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&record); err != nil {
		return record, fmt.Errorf("not a record of draws: %w", err)
	}
	if record.Format != drawsFormat {
		return record, fmt.Errorf("format %d; this program reads format %d", record.Format, drawsFormat)
	}
	return record, nil
}

// imageFacts describes what the network is given.
type imageFacts struct {
	Min       float32 `json:"min"`
	Mean      float64 `json:"mean"`
	Deviation float64 `json:"standard_deviation"`
	Max       float32 `json:"max"`
	SHA256    string  `json:"sha256"` // of the voxels as little-endian float32 in the order (C, D, H, W)
}

func factsOf(data []float32) imageFacts {
	f := imageFacts{Min: data[0], Max: data[0]}
	bits := make([]byte, 0, 4*len(data))
	for _, x := range data {
		f.Min, f.Max = min(f.Min, x), max(f.Max, x)
		f.Mean += float64(x) / float64(len(data))
		bits = binary.LittleEndian.AppendUint32(bits, math.Float32bits(x))
	}
	for _, x := range data {
		d := float64(x) - f.Mean
		f.Deviation += d * d / float64(len(data))
	}
	f.Deviation = math.Sqrt(f.Deviation)
	sum := sha256.Sum256(bits)
	f.SHA256 = hex.EncodeToString(sum[:])
	return f
}

// wholeFacts describes the image before preprocessing as it is drawn.
type wholeFacts struct {
	Size  [3]float64 `json:"size_mm"`  // along D, H, W
	Field [3]float64 `json:"field_mm"` // of the grid
}

func wholeFactsOf(o *prep.Overview) (f wholeFacts) {
	for axis := range 3 {
		f.Size[axis] = threeDigits(o.Extent[axis])
		f.Field[axis] = threeDigits((o.High[axis] - o.Low[axis]) * o.Spacing[axis])
	}
	return f
}

// threeDigits rounds to a thousandth.
func threeDigits(x float64) float64 { return math.Round(1000*x) / 1000 }

// writeWhole writes a file under a temporary name and renames it. A file that is
// there and does not start as such files do is left alone; what is no plain file,
// such as /dev/stdout, is written to.
func writeWhole(path string, content, start []byte) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return errors.New("it is a folder; name a file in it")
	case err == nil && !info.Mode().IsRegular():
		return os.WriteFile(path, content, 0o644)
	case err == nil && info.Size() > 0 && !startsWith(path, start):
		return errors.New("a file of another kind is there; choose another name or remove it")
	}
	temporary := path + ".tmp"
	if err := os.WriteFile(temporary, content, 0o644); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return nil
}

func startsWith(path string, start []byte) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	have := make([]byte, len(start))
	_, err = io.ReadFull(file, have)
	return err == nil && bytes.Equal(have, start)
}
