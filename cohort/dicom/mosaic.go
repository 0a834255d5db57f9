package dicom

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Mosaic is how Siemens' scanners stored a whole volume in one picture: its
// slices as tiles, row by row from the top left.
type Mosaic struct {
	Tiles         int        // slices; the rest of the picture is black
	Across        int        // tiles in a row
	Width, Height int        // pixels of a tile
	Normal        [3]float64 // direction from one slice to the next (LPS)
}

// Mosaic returns the layout of a mosaic, nil when the file is none. The number of
// slices and their direction stand in Siemens' private header (0029,1010) alone.
func (f *File) Mosaic() (*Mosaic, error) {
	if !slices.Contains(f.ImageType, "MOSAIC") || f.NumberOfFrames != 1 {
		return nil, nil
	}
	header := readCSA(f.csa)
	tiles, err := strconv.Atoi(strings.Join(header["NumberOfImagesInMosaic"], " "))
	normal := header["SliceNormalVector"]
	if err != nil || len(normal) != 3 {
		return nil, fmt.Errorf("%w: a Siemens mosaic without its private header (0029,1010), which says how many slices it holds and in which order; convert the original with dcm2niix", ErrUnsupported)
	}
	m := &Mosaic{Tiles: tiles}
	for m.Across*m.Across < tiles && m.Across < 1024 {
		m.Across++
	}
	if tiles < 1 || m.Across == 1024 || f.Columns%m.Across != 0 || f.Rows%m.Across != 0 {
		return nil, fmt.Errorf("%w: a mosaic of %d slices in %d x %d pixels", ErrDamaged, tiles, f.Columns, f.Rows)
	}
	m.Width, m.Height = f.Columns/m.Across, f.Rows/m.Across
	length := 0.0
	for n := range m.Normal {
		if m.Normal[n], err = strconv.ParseFloat(normal[n], 64); err != nil {
			return nil, fmt.Errorf("%w: the mosaic's SliceNormalVector", ErrDamaged)
		}
		length += float64(m.Normal[n] * m.Normal[n])
	}
	if !(math.Abs(length-1) < 1e-3) {
		return nil, fmt.Errorf("%w: the mosaic's SliceNormalVector has length %.3g", ErrDamaged, math.Sqrt(length))
	}
	return m, nil
}

// Tile copies one slice out of a mosaic's stored pixels.
func (m *Mosaic) Tile(stored []int32, tile int) []int32 {
	stride := m.Across * m.Width
	start := tile/m.Across*m.Height*stride + tile%m.Across*m.Width
	slice := make([]int32, 0, m.Width*m.Height)
	for row := range m.Height {
		slice = append(slice, stored[start+row*stride:][:m.Width]...)
	}
	return slice
}

// Limits of Siemens' private header; real ones have about 100 entries.
const (
	maxCSAEntries = 1024
	maxCSAItems   = 1024
)

// readCSA reads the texts of Siemens' private "CSA" header, both versions, as
// nibabel's documentation describes it: a count, then entries of 84 bytes, each
// followed by its items. What is cut off is left out.
func readCSA(data []byte) map[string][]string {
	values := map[string][]string{}
	second := bytes.HasPrefix(data, []byte("SV10"))
	if second {
		data = data[min(8, len(data)):]
	}
	if len(data) < 8 {
		return values
	}
	count := binary.LittleEndian.Uint32(data)
	data = data[8:]
	firstItems := uint32(0)
	for n := range min(count, maxCSAEntries) {
		if len(data) < 84 {
			break
		}
		name, _, _ := bytes.Cut(data[:64], []byte{0})
		multiplicity, items := binary.LittleEndian.Uint32(data[64:]), binary.LittleEndian.Uint32(data[76:])
		if n == 0 {
			firstItems = items
		}
		data = data[84:]
		for item := range min(items, maxCSAItems) {
			if len(data) < 16 {
				return values
			}
			length := binary.LittleEndian.Uint32(data[4:])
			if !second { // version 1 hides the length
				length = binary.LittleEndian.Uint32(data) - firstItems
			}
			data = data[16:]
			padded := (int64(length) + 3) &^ 3
			if padded > int64(len(data)) {
				return values
			}
			if text := trimmed(data[:length]); item < multiplicity && text != "" {
				text, _, _ = strings.Cut(text, "\x00")
				values[string(name)] = append(values[string(name)], strings.TrimSpace(text))
			}
			data = data[padded:]
		}
	}
	return values
}
