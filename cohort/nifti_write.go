package cohort

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// WriteNIfTI writes a volume as a NIfTI-1 file with stored type "float32",
// "int16" or "uint8", gzip-compressed when the name ends in .gz. Integer types
// round to the nearest whole number and refuse a voxel outside their range. The
// affine goes into the sform (code 1, as float32) and, without shears, into the
// qform. The file appears under its name only when it is complete, and its bytes
// depend on nothing but the volume.
func WriteNIfTI(path string, v *Volume, dtype string) error {
	if err := writeNIfTI(path, v, dtype); err != nil {
		var ofFile *os.PathError
		if errors.As(err, &ofFile) {
			err = ofFile.Err // not the name of the temporary file
		}
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeNIfTI(path string, v *Volume, dtype string) (err error) {
	if name := strings.ToLower(path); !strings.HasSuffix(name, ".nii") && !strings.HasSuffix(name, ".nii.gz") {
		return errors.New("the name must end in .nii or .nii.gz")
	}
	header, err := encodeHeader(v, dtype)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(file.Name())
		}
	}()
	buffered := bufio.NewWriterSize(file, 1<<16)
	if strings.HasSuffix(strings.ToLower(path), ".gz") {
		compressed := gzip.NewWriter(buffered)
		if err = encode(compressed, header, v, dtype); err == nil {
			err = compressed.Close()
		}
	} else {
		err = encode(buffered, header, v, dtype)
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = file.Chmod(0o644)
	}
	if err == nil {
		err = file.Close()
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	return err
}

// encodeHeader returns the 348 bytes of a little-endian NIfTI-1 header and the
// four bytes that say "no extension".
func encodeHeader(v *Volume, dtype string) ([]byte, error) {
	kind, ok := writable[dtype]
	if !ok {
		return nil, fmt.Errorf("stored type %q: choose float32, int16 or uint8", dtype)
	}
	if err := checkAffine(v.Affine); err != nil {
		return nil, err
	}
	h := make([]byte, 352)
	le := binary.LittleEndian
	le.PutUint32(h[0:], 348)
	h[38] = 'r' // "regular", expected by ANALYZE readers
	voxels := 1
	le.PutUint16(h[40:], 3)
	for axis := range 7 {
		size := 1
		if axis < 3 {
			size = v.Shape[axis]
			if size < 1 || size > math.MaxInt16 {
				return nil, fmt.Errorf("shape %s does not fit NIfTI-1 (1 to 32767 voxels along each axis)", product(v.Shape[:]))
			}
			voxels *= size
		}
		le.PutUint16(h[42+2*axis:], uint16(size))
	}
	if voxels != len(v.Data) {
		return nil, fmt.Errorf("shape %s does not agree with %d voxels", product(v.Shape[:]), len(v.Data))
	}
	float := func(at int, x float64) { le.PutUint32(h[at:], math.Float32bits(float32(x))) }
	le.PutUint16(h[70:], kind.code)
	le.PutUint16(h[72:], uint16(8*kind.size))
	b, c, d, qfac := toQuaternion(v.Affine)
	float(76, qfac)
	for axis, size := range spacingOf(v.Affine) {
		float(80+4*axis, size)
	}
	float(108, 352)
	float(112, 1)            // scl_slope
	h[123] = 2               // mm
	le.PutUint16(h[252:], 1) // qform_code: scanner
	le.PutUint16(h[254:], 1) // sform_code: scanner
	float(256, b)
	float(260, c)
	float(264, d)
	for row := range 3 {
		float(268+4*row, v.Affine[row][3])
		for column := range 4 {
			float(280+16*row+4*column, v.Affine[row][column])
		}
	}
	copy(h[344:], "n+1\x00")
	return h, nil
}

var writable = map[string]struct {
	code      uint16
	size      int
	low, high float64
}{
	"float32": {16, 4, math.Inf(-1), math.Inf(1)},
	"int16":   {4, 2, math.MinInt16, math.MaxInt16},
	"uint8":   {2, 1, 0, math.MaxUint8},
}

func encode(w io.Writer, header []byte, v *Volume, dtype string) error {
	if _, err := w.Write(header); err != nil {
		return err
	}
	kind := writable[dtype]
	buffer := make([]byte, 0, 1<<16)
	for n, x := range v.Data {
		if dtype == "float32" {
			buffer = binary.LittleEndian.AppendUint32(buffer, math.Float32bits(x))
		} else {
			rounded := math.RoundToEven(float64(x))
			if !(rounded >= kind.low && rounded <= kind.high) {
				return fmt.Errorf("voxel %d is %g, which %s cannot hold", n, x, dtype)
			}
			buffer = append(buffer, byte(int(rounded)))
			if kind.size == 2 {
				buffer = append(buffer, byte(int(rounded)>>8))
			}
		}
		if len(buffer) > 1<<16-4 || n == len(v.Data)-1 {
			if _, err := w.Write(buffer); err != nil {
				return err
			}
			buffer = buffer[:0]
		}
	}
	return nil
}
