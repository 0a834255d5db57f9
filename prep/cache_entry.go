package prep

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// The layout of an entry, as docs/format/cache.md describes it.
const (
	entryMagic      = "BALLASTC"
	entryFormat     = 1
	headerSize      = 8 + 4 + 4 + 32 + 8 + 32
	entrySuffix     = ".prep"
	temporarySuffix = ".tmp"
)

// kind says what an entry holds.
type kind uint32

const (
	kindImages    kind = 1
	kindExtent    kind = 2
	kindLandmarks kind = 3
)

func (k kind) String() string { return [...]string{"", "images", "extent", "landmarks"}[k] }

// errDamaged is wrapped by every complaint about the bytes of an entry.
var errDamaged = errors.New("damaged cache entry")

func damaged(format string, values ...any) error {
	return fmt.Errorf("%w: %s", errDamaged, fmt.Sprintf(format, values...))
}

// readEntry returns the payload of an entry whose every byte is as written.
func readEntry(path string, what kind, k key) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseEntry(data, what, k)
}

func parseEntry(data []byte, what kind, k key) ([]byte, error) {
	if len(data) < headerSize {
		return nil, damaged("%d bytes", len(data))
	}
	header, payload := data[:headerSize], data[headerSize:]
	sum := sha256.Sum256(payload)
	if !bytes.Equal(header, entryHeader(what, k, len(payload), sum)) {
		return nil, damaged("header and payload do not fit together")
	}
	return payload, nil
}

// entryHeader is what stands before a payload: magic, format, kind, key, length
// and hash of the payload.
func entryHeader(what kind, k key, length int, sum [sha256.Size]byte) []byte {
	header := make([]byte, 0, headerSize)
	header = append(header, entryMagic...)
	header = binary.LittleEndian.AppendUint32(header, entryFormat)
	header = binary.LittleEndian.AppendUint32(header, uint32(what))
	header = append(header, k[:]...)
	header = binary.LittleEndian.AppendUint64(header, uint64(length))
	return append(header, sum[:]...)
}

// writeEntry stores an entry under a temporary name and renames it.
func writeEntry(path string, what kind, k key, payload []byte) (err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil { // patients' images are nobody else's business
		return err
	}
	file, err := os.CreateTemp(folder, "*"+temporarySuffix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	_, err = file.Write(entryHeader(what, k, len(payload), sha256.Sum256(payload)))
	if err == nil {
		_, err = file.Write(payload)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// encodePayload writes a value of one of the three kinds.
func encodePayload(value any) []byte {
	var out []byte
	number := func(n int) { out = binary.LittleEndian.AppendUint32(out, uint32(n)) }
	switch value := value.(type) {
	case []*Image:
		number(len(value))
		for _, m := range value {
			for _, n := range []int{m.C, m.D, m.H, m.W, m.NonFinite} {
				number(n)
			}
			for channel := range m.C {
				out = binary.LittleEndian.AppendUint32(out, math.Float32bits(m.BackgroundOf(channel)))
			}
			start := len(out)
			out = append(out, make([]byte, 4*len(m.Data))...)
			for n, x := range m.Data {
				binary.LittleEndian.PutUint32(out[start+4*n:], math.Float32bits(x))
			}
		}
	case measurement:
		for _, x := range append(value.Extent.Size[:], value.Extent.Spacing[:]...) {
			out = binary.LittleEndian.AppendUint64(out, math.Float64bits(x))
		}
		number(map[bool]int{true: 1}[value.Flat])
	case [][]float64:
		number(len(value))
		for _, row := range value {
			number(len(row))
			for _, x := range row {
				out = binary.LittleEndian.AppendUint64(out, math.Float64bits(x))
			}
		}
	default:
		panic(fmt.Sprintf("prep: a cache does not hold %T", value))
	}
	return out
}

// A decoder takes numbers from the front of a payload; once they run out, it
// gives zeros and short is set.
type decoder struct {
	rest  []byte
	short bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.rest, d.short = nil, true
		return make([]byte, max(0, min(n, 8)))
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *decoder) number() int { return int(binary.LittleEndian.Uint32(d.take(4))) }
func (d *decoder) float32() float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(d.take(4)))
}
func (d *decoder) float64() float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(d.take(8)))
}
func (d *decoder) fits(n, b int) bool { return !d.short && n >= 0 && n <= len(d.rest)/b }

// decodePayload reads what encodePayload wrote.
func decodePayload(payload []byte, value any) error {
	d := &decoder{rest: payload}
	switch value := value.(type) {
	case *[]*Image:
		*value = d.images()
	case *measurement:
		for n := range 3 {
			value.Extent.Size[n] = d.float64()
		}
		for n := range 3 {
			value.Extent.Spacing[n] = d.float64()
		}
		value.Flat = d.number() == 1
	case *[][]float64:
		*value = d.rows()
	default:
		panic(fmt.Sprintf("prep: a cache does not hold %T", value))
	}
	if d.short || len(d.rest) > 0 {
		return damaged("a payload of %d bytes, which ends in the wrong place", len(payload))
	}
	return nil
}

func (d *decoder) images() []*Image {
	var images []*Image
	for range d.number() {
		m := &Image{C: d.number(), D: d.number(), H: d.number(), W: d.number(), NonFinite: d.number()}
		voxels := 1
		for _, size := range []int{m.C, m.D, m.H, m.W} {
			if size == 0 || !d.fits(size, 4*voxels) {
				d.short = true
				return nil
			}
			voxels *= size
		}
		for range m.C {
			m.Backgrounds = append(m.Backgrounds, d.float32())
		}
		m.Background = m.Backgrounds[0]
		if m.C == 1 {
			m.Backgrounds = nil
		}
		raw := d.take(4 * voxels)
		if d.short {
			return nil
		}
		m.Data = make([]float32, voxels)
		for n := range m.Data {
			m.Data[n] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*n:]))
		}
		images = append(images, m)
	}
	return images
}

func (d *decoder) rows() [][]float64 {
	var rows [][]float64
	for range d.number() {
		n := d.number()
		if !d.fits(n, 8) {
			d.short = true
			return nil
		}
		row := make([]float64, n)
		for i := range row {
			row[i] = d.float64()
		}
		rows = append(rows, row)
	}
	return rows
}
