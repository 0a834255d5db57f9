package cohort

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // decoders for readPicture
	_ "image/png"
	"io"
	"os"
	"strings"
)

// maxVoxels is the largest image that is read: 2 GiB as float32.
const maxVoxels = 1 << 29

// ReadVolume reads a NIfTI-1 or NIfTI-2 file (.nii, .nii.gz, or a pair of .hdr
// and .img), a PNG or a JPEG. The kind is told by the content, not by the name.
//
// Errors name the file and wrap ErrFormat, ErrHeader, ErrTruncated or
// ErrUnsupported. Voxels that are not finite are counted in Volume.NonFinite and
// replaced; whether the image is still usable is for Volume.Check.
func ReadVolume(path string) (*Volume, error) {
	v, err := readVolume(path)
	if err != nil {
		var perr *os.PathError
		if errors.As(err, &perr) && perr.Path == path {
			err = perr.Err // the path is said once
		}
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	v.replaceNonFinite()
	return v, nil
}

// ReadMask reads an image whose voxels above 0 are inside. It returns
// ErrEmptyMask when there is none.
func ReadMask(path string) (*Volume, error) {
	v, err := ReadVolume(path)
	if err != nil {
		return nil, err
	}
	for _, x := range v.Data {
		if x > 0 {
			return v, nil
		}
	}
	return nil, fmt.Errorf("read %s: %w", path, ErrEmptyMask)
}

// Load reads the image and its mask (nil when there is none) and checks both:
// Volume.Check for the image, ErrEmptyMask and ErrGeometry for the mask.
func (i Image) Load() (v, mask *Volume, err error) {
	if v, err = ReadVolume(i.Path); err != nil {
		return nil, nil, err
	}
	if err = v.Check(); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", i.Path, err)
	}
	if i.Mask == "" {
		return v, nil, nil
	}
	if mask, err = ReadMask(i.Mask); err != nil {
		return nil, nil, err
	}
	if err = v.SameGrid(mask); err != nil {
		return nil, nil, fmt.Errorf("read %s and %s: %w", i.Path, i.Mask, err)
	}
	return v, mask, nil
}

func readVolume(path string) (*Volume, error) {
	info, err := os.Stat(path) // before opening, which would wait for the writer of a pipe
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%w: it is a folder", ErrFormat)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is not a plain file", ErrFormat)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size() == 0 {
		return nil, fmt.Errorf("%w: the file is empty", ErrTruncated)
	}
	start := make([]byte, 132)
	n, err := io.ReadFull(file, start)
	if err != nil && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	start = start[:n]
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte("\x89PNG\r\n\x1a\n")), bytes.HasPrefix(start, []byte{0xff, 0xd8, 0xff}):
		return readPicture(file, info.Size())
	case len(start) == 132 && string(start[128:]) == "DICM":
		return nil, fmt.Errorf("%w: it is DICOM; convert the series with dcm2niix", ErrUnsupported)
	}
	if what := otherKind(start); what != "" {
		return nil, fmt.Errorf("%w: it is %s", ErrFormat, what)
	}
	return readNIfTI(file, info.Size(), path)
}

// otherKind names what is often found where an image should be.
func otherKind(start []byte) string {
	for _, kind := range []struct{ magic, name string }{
		{"version https://git-lfs", "a pointer of Git LFS, not the file; fetch it with git lfs pull"},
		{"/annex/objects", "a pointer of git-annex, not the file; fetch it with git annex get"},
		{"<!DOCTYPE html", "a web page; download the file itself"},
		{"<html", "a web page; download the file itself"},
		{"GIF8", "GIF; save it as PNG"},
		{"BM", "BMP; save it as PNG"},
		{"II*\x00", "TIFF; save it as PNG"},
		{"MM\x00*", "TIFF; save it as PNG"},
		{"RIFF", "WebP; save it as PNG"},
		{"NRRD", "NRRD; convert it to NIfTI"},
		{"PK\x03\x04", "a zip archive; unpack it"},
	} {
		if bytes.HasPrefix(start, []byte(kind.magic)) {
			return kind.name
		}
	}
	return ""
}

// readPicture reads a PNG or JPEG. Grey levels of 8 or 16 bits are kept as they
// are; colours become luminance, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601, as
// in PIL's "L"), on the scale of the file (0..255 or 0..65535).
func readPicture(r io.ReadSeeker, size int64) (*Volume, error) {
	config, kind, err := image.DecodeConfig(r)
	if err != nil {
		return nil, pictureError(err, size)
	}
	if config.Width < 1 || config.Height < 1 || config.Width > maxVoxels/config.Height {
		return nil, fmt.Errorf("%w: %s of %d x %d pixels", ErrHeader, kind, config.Width, config.Height)
	}
	// Deflate shrinks at most 1032-fold and a JPEG block of 64 pixels takes at
	// least some bits, so a small file cannot hold a huge picture.
	if pixels := int64(config.Width) * int64(config.Height); pixels > 1<<16 && pixels/(8*1032) > size {
		return nil, fmt.Errorf("%w: %d bytes cannot hold %d x %d pixels", ErrTruncated, size, config.Width, config.Height)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	picture, _, err := image.Decode(r)
	if err != nil {
		return nil, pictureError(err, size)
	}
	bounds := picture.Bounds()
	v := &Volume{
		Data:    make([]float32, 0, bounds.Dx()*bounds.Dy()),
		Shape:   [3]int{bounds.Dx(), bounds.Dy(), 1},
		Affine:  [3][4]float64{{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, 1, 0}},
		Spacing: [3]float64{1, 1, 1},
	}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			v.Data = append(v.Data, luminance(picture, x, y))
		}
	}
	return v, nil
}

func luminance(picture image.Image, x, y int) float32 {
	switch p := picture.(type) {
	case *image.Gray:
		return float32(p.GrayAt(x, y).Y)
	case *image.Gray16:
		return float32(p.Gray16At(x, y).Y)
	case *image.NRGBA64:
		c := p.NRGBA64At(x, y)
		return weigh(float64(c.R), float64(c.G), float64(c.B))
	case *image.RGBA64:
		c := p.RGBA64At(x, y)
		return weigh(float64(c.R), float64(c.G), float64(c.B))
	}
	c := color.NRGBAModel.Convert(picture.At(x, y)).(color.NRGBA)
	return weigh(float64(c.R), float64(c.G), float64(c.B))
}

func weigh(r, g, b float64) float32 {
	return float32(float64(float64(0.299*r)+float64(0.587*g)) + float64(0.114*b))
}

func pictureError(err error, size int64) error {
	// The PNG decoder says in words only that the pixels end early.
	early := strings.HasSuffix(err.Error(), "unexpected EOF") || strings.HasSuffix(err.Error(), "not enough pixel data")
	if early || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the picture goes on after its %d bytes", ErrTruncated, size)
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}
