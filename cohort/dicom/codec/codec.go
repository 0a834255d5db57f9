// Package codec decodes the compressed pixels found in DICOM files: run-length
// (RLE, DICOM PS3.5 annex G), lossless JPEG (ITU-T T.81 process 14), JPEG-LS
// (ITU-T T.87), JPEG 2000 (ITU-T T.800) and baseline JPEG. One picture of one
// component at a time, of the size that the DICOM header states; colour is refused.
//
// No function panics, and none allocates for more than 2^20 pixels or a fixed
// multiple of the bytes it is given, whatever their headers claim.
package codec

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
)

// What can be wrong with compressed pixels.
var (
	ErrTruncated   = errors.New("truncated")
	ErrDamaged     = errors.New("damaged")
	ErrUnsupported = errors.New("not supported")
)

// An Image is one decoded picture.
type Image struct {
	Width, Height int
	Bits          int     // bits per sample as the stream states, 1 to 16
	Signed        bool    // whether the stream says that samples are signed
	Samples       []int32 // row by row, from the top left
}

// checkSize refuses a picture whose size is not the expected one, or larger than
// so many bytes can hold at the best compression of its kind, in pixels per byte.
// An empty slice may take a hundred bytes whatever its size; small pictures are
// therefore always tried.
func checkSize(width, height, expectedWidth, expectedHeight, bytes, best int) error {
	if width < 1 || height < 1 || width != expectedWidth || height != expectedHeight {
		return fmt.Errorf("%w: a picture of %d x %d pixels where %d x %d were announced", ErrDamaged, width, height, expectedWidth, expectedHeight)
	}
	samples := int64(width) * int64(height)
	if samples > 1<<29 || samples > smallPicture && samples > int64(bytes)*int64(best) {
		return fmt.Errorf("%w: %d bytes cannot hold %d x %d pixels", ErrTruncated, bytes, width, height)
	}
	return nil
}

const smallPicture = 1 << 20

// The best compressions, in pixels per byte.
const (
	bestRLE      = 64  // 2 bytes for 128 pixels
	bestLossless = 8   // a bit for a pixel
	bestOther    = 256 // JPEG, JPEG-LS and JPEG 2000 have no bound; pictures of bodies stay far below
)

// recovered turns a panic of the standard library's decoders, should one ever
// happen on damaged data, into an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: %v", ErrDamaged, r)
	}
}

// JPEGBaseline decodes an 8-bit grey JPEG by image/jpeg (T.81 process 1, and
// the progressive process 10).
func JPEGBaseline(data []byte, width, height int) (picture *Image, err error) {
	defer recovered(&err)
	config, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, baselineError(err)
	}
	if err := checkSize(config.Width, config.Height, width, height, len(data), bestOther); err != nil {
		return nil, err
	}
	decoded, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, baselineError(err)
	}
	grey, ok := decoded.(*image.Gray)
	if !ok {
		return nil, fmt.Errorf("%w: a JPEG in colour", ErrUnsupported)
	}
	picture = &Image{Width: config.Width, Height: config.Height, Bits: 8, Samples: make([]int32, 0, config.Width*config.Height)}
	for y := range config.Height {
		for _, v := range grey.Pix[y*grey.Stride : y*grey.Stride+config.Width] {
			picture.Samples = append(picture.Samples, int32(v))
		}
	}
	return picture, nil
}

func baselineError(err error) error {
	if _, unsupported := errors.AsType[jpeg.UnsupportedError](err); unsupported {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if _, damaged := errors.AsType[jpeg.FormatError](err); damaged {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return fmt.Errorf("%w: the JPEG ends early", ErrTruncated)
}
