package cohort

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

const (
	maxPixels       = 1 << 27 // of a picture: 1 GiB at 16 bits in four channels
	maxPictureBytes = 1 << 30 // of the file of a picture
	maxPages        = 1 << 12 // of a TIFF
)

// A pictureFormat is one way to store a picture.
type pictureFormat struct {
	name   string
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
	shrink int64 // how many times smaller than its pixels a file can be at most
}

// Deflate, which PNG uses and TIFF may use, makes data at most 1032 times
// smaller; a block of 64 pixels takes at least one bit in JPEG.
var pictureFormats = map[imageKind]pictureFormat{
	pngKind:  {"PNG", png.DecodeConfig, png.Decode, maxShrink},
	jpegKind: {"JPEG", jpeg.DecodeConfig, jpeg.Decode, 64 * 8},
	tiffKind: {"TIFF", tiff.DecodeConfig, tiff.Decode, maxShrink},
	bmpKind:  {"BMP", bmp.DecodeConfig, bmp.Decode, 1},
}

// A pictureFile is a PNG, JPEG, TIFF or BMP in memory. Grey levels of 8 or 16
// bits are kept as they are; colours become luminance, 0.299 R + 0.587 G + 0.114
// B (ITU-R BT.601, as in PIL's "L"), on the scale of the file (0..255 or
// 0..65535). What is transparent counts like the rest.
type pictureFile struct {
	*byteSource
	format pictureFormat
	text   []byte
	pages  []uint32 // where the directory of each page lies in a TIFF
}

func openPicture(source *byteSource, kind imageKind) (*pictureFile, error) {
	if source.compressed { // a small file could hold a huge one
		return nil, fmt.Errorf("%w: a %s inside a gzip file; unpack it", ErrUnsupported, pictureFormats[kind].name)
	}
	text, err := io.ReadAll(io.LimitReader(source, maxPictureBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%w: after %d bytes: %w", ErrTruncated, len(text), err)
	}
	if len(text) > maxPictureBytes {
		return nil, fmt.Errorf("%w: a picture of more than %d bytes", ErrUnsupported, maxPictureBytes)
	}
	f := &pictureFile{byteSource: source, format: pictureFormats[kind], text: text, pages: []uint32{0}}
	if kind == tiffKind {
		f.pages, err = tiffPages(text)
	}
	return f, err
}

func (f *pictureFile) read(index int) (*Volume, error) {
	v, _, err := f.readDescribed(index)
	return v, err
}

func (f *pictureFile) readDescribed(index int) (*Volume, *Description, error) {
	page, err := f.choose(index)
	if err != nil {
		return nil, nil, err
	}
	picture, err := f.decode(page)
	if err != nil {
		return nil, nil, err
	}
	d := f.summary(picture)
	if len(f.pages) > 1 {
		d.choose(page)
	}
	return pictureVolume(picture), d, nil
}

func (f *pictureFile) choose(index int) (int, error) {
	return chooseVolume(fmt.Sprintf("a %s of %d pages", f.format.name, len(f.pages)), len(f.pages), index)
}

func (f *pictureFile) decode(page int) (image.Image, error) {
	if f.pages[page] != 0 { // the decoder reads the page that the file's header points to
		tiffOrder(f.text).PutUint32(f.text[4:], f.pages[page])
	}
	config, err := f.format.config(bytes.NewReader(f.text))
	if err != nil {
		return nil, pictureError(err, len(f.text))
	}
	if err := f.format.plausible(config, int64(len(f.text))); err != nil {
		return nil, err
	}
	picture, err := f.format.decode(bytes.NewReader(f.text))
	if err != nil {
		return nil, pictureError(err, len(f.text))
	}
	return picture, nil
}

// plausible refuses a header that promises more pixels than a file of that many
// bytes can hold, before memory is taken for them.
func (f pictureFormat) plausible(config image.Config, size int64) error {
	if config.Width < 1 || config.Height < 1 {
		return fmt.Errorf("%w: %s of %d x %d pixels", ErrHeader, f.name, config.Width, config.Height)
	}
	if config.Width > maxPixels/config.Height {
		return fmt.Errorf("%w: %s of %d x %d pixels is more than ballast reads (%d pixels)", ErrUnsupported, f.name, config.Width, config.Height, maxPixels)
	}
	bits := int64(1) // per pixel, at least
	switch config.ColorModel {
	case color.Gray16Model:
		bits = 16
	case color.RGBAModel, color.NRGBAModel:
		bits = 24
	case color.RGBA64Model, color.NRGBA64Model:
		bits = 48
	}
	if f.name == "JPEG" {
		bits = 1
	}
	if pixels := int64(config.Width) * int64(config.Height); pixels*bits/8 > f.shrink*size {
		return fmt.Errorf("%w: %d bytes cannot hold %d x %d pixels", ErrTruncated, size, config.Width, config.Height)
	}
	return nil
}

var pictureAffine = [3][4]float64{{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, 1, 0}}

// pictureVolume gives a picture the geometry documented at Volume.
func pictureVolume(picture image.Image) *Volume {
	bounds := picture.Bounds()
	v := &Volume{
		Data:    make([]float32, 0, bounds.Dx()*bounds.Dy()),
		Shape:   [3]int{bounds.Dx(), bounds.Dy(), 1},
		Affine:  pictureAffine,
		Spacing: [3]float64{1, 1, 1},
	}
	row := rowOf(picture)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		v.Data = row(v.Data, y)
	}
	return v
}

// rowOf returns a function that appends the values of row y.
func rowOf(picture image.Image) func(data []float32, y int) []float32 {
	bounds := picture.Bounds()
	switch p := picture.(type) {
	case *image.Gray:
		return func(data []float32, y int) []float32 {
			for _, level := range p.Pix[p.PixOffset(bounds.Min.X, y):][:bounds.Dx()] {
				data = append(data, float32(level))
			}
			return data
		}
	case *image.Gray16:
		return func(data []float32, y int) []float32 {
			pixels := p.Pix[p.PixOffset(bounds.Min.X, y):]
			for x := range bounds.Dx() {
				data = append(data, float32(binary.BigEndian.Uint16(pixels[2*x:])))
			}
			return data
		}
	case *image.Paletted:
		var levels [256]float32
		for n, c := range p.Palette[:min(len(p.Palette), len(levels))] {
			levels[n] = luminance(c)
		}
		return func(data []float32, y int) []float32 {
			for _, index := range p.Pix[p.PixOffset(bounds.Min.X, y):][:bounds.Dx()] {
				data = append(data, levels[index])
			}
			return data
		}
	}
	at := pixelOf(picture)
	return func(data []float32, y int) []float32 {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			r, g, b := at(x, y)
			data = append(data, float32(luma(float64(r), float64(g), float64(b))))
		}
		return data
	}
}

// pixelOf returns a function that gives the colour of a pixel on the scale of the
// file, its opacity left out.
func pixelOf(picture image.Image) func(x, y int) (r, g, b uint16) {
	switch p := picture.(type) {
	case *image.NRGBA:
		return func(x, y int) (r, g, b uint16) {
			c := p.NRGBAAt(x, y)
			return uint16(c.R), uint16(c.G), uint16(c.B)
		}
	case *image.YCbCr:
		return func(x, y int) (uint16, uint16, uint16) {
			c := p.YCbCrAt(x, y)
			r, g, b := color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
			return uint16(r), uint16(g), uint16(b)
		}
	case *image.NRGBA64:
		return func(x, y int) (r, g, b uint16) {
			c := p.NRGBA64At(x, y)
			return c.R, c.G, c.B
		}
	case *image.RGBA64:
		return func(x, y int) (r, g, b uint16) {
			c := color.NRGBA64Model.Convert(p.RGBA64At(x, y)).(color.NRGBA64)
			return c.R, c.G, c.B
		}
	case *image.RGBA:
		return func(x, y int) (r, g, b uint16) {
			c := p.RGBAAt(x, y)
			if c.A != 255 {
				d := color.NRGBAModel.Convert(c).(color.NRGBA)
				return uint16(d.R), uint16(d.G), uint16(d.B)
			}
			return uint16(c.R), uint16(c.G), uint16(c.B)
		}
	}
	return func(x, y int) (r, g, b uint16) {
		c := color.NRGBAModel.Convert(picture.At(x, y)).(color.NRGBA)
		return uint16(c.R), uint16(c.G), uint16(c.B)
	}
}

// luminance of a palette's colour, on the scale of 8 bits.
func luminance(c color.Color) float32 {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	return float32(luma(float64(n.R), float64(n.G), float64(n.B)))
}

// luma is the luminance of a colour, each product rounded. A grey keeps its
// level exactly once rounded to float32.
func luma(r, g, b float64) float64 {
	return float64(float64(0.299*r)+float64(0.587*g)) + float64(0.114*b)
}

func tiffOrder(text []byte) binary.ByteOrder {
	if text[0] == 'M' {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// tiffPages returns where each page's directory lies; smaller copies of a page
// are left out (TIFF 6.0, NewSubfileType bit 0).
func tiffPages(text []byte) ([]uint32, error) {
	if len(text) < 8 {
		return nil, fmt.Errorf("%w: the picture goes on after its %d bytes", ErrTruncated, len(text))
	}
	order := tiffOrder(text)
	var pages []uint32
	for at, n := order.Uint32(text[4:]), 0; at != 0; n++ {
		if uint64(at)+2 > uint64(len(text)) {
			return nil, fmt.Errorf("%w: page %d would start at byte %d of %d", ErrTruncated, n, at, len(text))
		}
		entries := text[at+2:]
		count := int(order.Uint16(text[at:]))
		if 12*count+4 > len(entries) {
			return nil, fmt.Errorf("%w: the directory of page %d goes on after the file's %d bytes", ErrTruncated, n, len(text))
		}
		if n == maxPages {
			return nil, fmt.Errorf("%w: a TIFF of more than %d pages", ErrUnsupported, maxPages)
		}
		reduced := false
		for e := range count {
			entry := entries[12*e:]
			reduced = reduced || order.Uint16(entry) == 254 && order.Uint32(entry[8:])&1 == 1
		}
		if !reduced {
			pages = append(pages, at)
		}
		at = order.Uint32(entries[12*count:])
	}
	if len(pages) == 0 {
		return nil, fmt.Errorf("%w: a TIFF without pages", ErrHeader)
	}
	return pages, nil
}

func pictureError(err error, size int) error {
	// The decoders say in words only that the pixels end early.
	text := err.Error()
	for _, early := range []string{"unexpected EOF", "not enough pixel data"} {
		if strings.HasSuffix(text, early) || errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: the picture goes on after its %d bytes", ErrTruncated, size)
		}
	}
	var unsupported tiff.UnsupportedError
	if errors.As(err, &unsupported) || errors.Is(err, bmp.ErrUnsupported) {
		return fmt.Errorf("%w: %w; save the picture as PNG", ErrUnsupported, err)
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}
