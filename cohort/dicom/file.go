// Package dicom reads one DICOM file (PS3.10): the attributes that place an MR
// or CT image in space and time, and its pixels. It knows nothing of series;
// package cohort puts files together.
//
// Attributes are decoded by github.com/suyashkumar/dicom. That parser believes
// the lengths in a file and recurses without bound, so a walker checks the
// structure first and gives it a copy of the attributes in wantedTags, nothing
// else: names, birth dates and identifiers of patients are never decoded
// (docs/decisions/0004-dicom.md).
package dicom

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"ballast/cohort/dicom/codec"
)

// What can be wrong with a file.
var (
	ErrFormat      = errors.New("not DICOM")
	ErrDamaged     = codec.ErrDamaged
	ErrTruncated   = codec.ErrTruncated
	ErrUnsupported = codec.ErrUnsupported
)

// Transfer syntaxes (PS3.6 annex A): how the data set and the pixels are encoded.
const (
	ImplicitLittleEndian   = "1.2.840.10008.1.2"
	ExplicitLittleEndian   = "1.2.840.10008.1.2.1"
	DeflatedLittleEndian   = "1.2.840.10008.1.2.1.99"
	ExplicitBigEndian      = "1.2.840.10008.1.2.2"
	JPEGBaseline           = "1.2.840.10008.1.2.4.50"
	JPEGLossless           = "1.2.840.10008.1.2.4.57"
	JPEGLosslessFirstOrder = "1.2.840.10008.1.2.4.70"
	JPEGLSLossless         = "1.2.840.10008.1.2.4.80"
	JPEGLSNearLossless     = "1.2.840.10008.1.2.4.81"
	JPEG2000Lossless       = "1.2.840.10008.1.2.4.90"
	JPEG2000               = "1.2.840.10008.1.2.4.91"
	RLELossless            = "1.2.840.10008.1.2.5"
)

var syntaxNames = map[string]string{
	ImplicitLittleEndian: "implicit VR little endian", ExplicitLittleEndian: "explicit VR little endian",
	DeflatedLittleEndian: "deflated explicit VR little endian", ExplicitBigEndian: "explicit VR big endian",
	JPEGBaseline: "JPEG baseline", "1.2.840.10008.1.2.4.51": "JPEG extended (12 bits)",
	JPEGLossless: "JPEG lossless", JPEGLosslessFirstOrder: "JPEG lossless, first order",
	JPEGLSLossless: "JPEG-LS lossless", JPEGLSNearLossless: "JPEG-LS near-lossless",
	JPEG2000Lossless: "JPEG 2000 lossless", JPEG2000: "JPEG 2000", RLELossless: "RLE lossless",
	"1.2.840.10008.1.2.4.201": "HTJ2K lossless", "1.2.840.10008.1.2.4.202": "HTJ2K lossless RPCL", "1.2.840.10008.1.2.4.203": "HTJ2K",
}

// SyntaxName names a transfer syntax in words, or by its UID if it has none here.
func SyntaxName(uid string) string {
	if name, ok := syntaxNames[uid]; ok {
		return name
	}
	return "transfer syntax " + uid
}

// maxBytes is the largest data set that is read, inflated if it was deflated.
const maxBytes = 1<<31 - 1

// A File is one parsed DICOM file. Text is trimmed; numbers that the file does
// not state are 0, lists nil.
type File struct {
	TransferSyntax, SOPInstance            string
	SeriesUID, SeriesDescription, Modality string
	ImageType                              []string // as ORIGINAL, PRIMARY, M, ND, MOSAIC
	SeriesNumber, InstanceNumber           int

	// Pixels. Stored decodes them; HasPixels is false for reports, annotations
	// and the like, and all of these are then 0.
	HasPixels                          bool
	Rows, Columns, NumberOfFrames      int
	SamplesPerPixel                    int
	BitsAllocated, BitsStored, HighBit int
	Signed                             bool
	Photometric                        string // MONOCHROME1: the lowest value is shown white
	Lossy                              bool   // compressed with loss at some time

	// Frames has NumberOfFrames entries, one for an ordinary slice.
	Frames []Frame

	csa    []byte
	pixels pixelData
}

// A Frame is one slice. Vectors are in DICOM's patient coordinates, mm: x towards
// the patient's left, y posterior, z superior (LPS).
type Frame struct {
	Position             []float64 // centre of the first pixel (ImagePositionPatient), 3 numbers or nil
	Orientation          []float64 // directions along a row and down a column (ImageOrientationPatient), 6 numbers or nil
	PixelSpacing         []float64 // mm between rows, mm between columns, or nil
	SliceThickness       float64   // mm
	SpacingBetweenSlices float64   // mm, centre to centre
	Slope, Intercept     float64   // value = stored Slope + Intercept; 1 and 0 when not stated

	// What tells volumes at the same place apart.
	TemporalPosition, EchoNumber, Acquisition int
	EchoTime, BValue, TriggerTime             float64 // ms, s/mm², ms
	Kind                                      string  // ImageType or FrameType: magnitude, phase, ...
}

// Parse reads a file from its bytes, which the File keeps. Errors wrap ErrFormat,
// ErrDamaged, ErrTruncated or ErrUnsupported. When the attributes could be read
// and only the pixels cannot, the File comes with the error.
func Parse(data []byte) (f *File, err error) {
	defer func() {
		if r := recover(); r != nil {
			f, err = nil, fmt.Errorf("%w: the parser failed: %v", ErrDamaged, r)
		}
	}()
	if int64(len(data)) > maxBytes {
		return nil, fmt.Errorf("%w: a file of more than 2 GiB", ErrUnsupported)
	}
	body, syntax, err := readMeta(data)
	if err != nil {
		return nil, err
	}
	fillDictionary()
	w := &walker{data: body, order: binary.LittleEndian, creators: map[uint32]string{}}
	implicit := syntax == ImplicitLittleEndian
	if actual := bareSyntax(body); actual != "" && (implicit || syntax == ExplicitLittleEndian) {
		implicit = actual == ImplicitLittleEndian // some programs wrote the other one into the header
	}
	switch syntax {
	case ExplicitBigEndian:
		w.order = binary.BigEndian
	case DeflatedLittleEndian:
		if w.data, err = inflate(body, maxInflated); err != nil {
			return nil, err
		}
	}
	if _, err := w.walk(0, len(w.data), implicit, true, 0, 0); err != nil {
		return nil, err
	}
	f = &File{TransferSyntax: syntax, csa: w.csa, pixels: w.pixels, HasPixels: w.pixels.present}
	a, err := parse(w.clean, w.order)
	if err != nil {
		return nil, err
	}
	return f, f.readAttributes(a)
}

// Release drops the file's bytes; Stored and Mosaic cannot be called after it.
func (f *File) Release() { f.pixels, f.csa = pixelData{}, nil }

// IsDICOM tells by a file's first 132 bytes or more whether Parse may read it:
// by the mark DICM behind a preamble, else by a data set that begins at once, as
// old archives wrote it.
func IsDICOM(start []byte) bool {
	if len(start) >= 132 && string(start[128:132]) == "DICM" {
		return true
	}
	return bareSyntax(start) != ""
}

// bareSyntax returns the transfer syntax of a data set without preamble, ""
// when the bytes are not one. Its first element is of group 8 (or 2, file meta
// information) and short.
func bareSyntax(data []byte) string {
	if len(data) < 8 {
		return ""
	}
	group, number := binary.LittleEndian.Uint16(data), binary.LittleEndian.Uint16(data[2:])
	if group != 8 && group != 2 || number > 0x18 {
		return ""
	}
	if isVR(string(data[4:6])) && knownVR(string(data[4:6])) {
		return ExplicitLittleEndian
	}
	if length := binary.LittleEndian.Uint32(data[4:]); group == 8 && length <= 64 {
		return ImplicitLittleEndian
	}
	return ""
}

func knownVR(vr string) bool {
	return strings.Contains(" AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OW PN SH SL SQ SS ST TM UI UL UN US UT ", " "+vr+" ")
}

// readMeta reads the file meta information (group 2, always explicit VR little
// endian) for the transfer syntax and returns the data set behind it.
func readMeta(data []byte) (body []byte, syntax string, err error) {
	if len(data) < 16 {
		return nil, "", fmt.Errorf("%w: %d bytes", ErrFormat, len(data))
	}
	at := 0
	if len(data) >= 132 && string(data[128:132]) == "DICM" {
		at = 132
	} else if syntax = bareSyntax(data); syntax == "" {
		return nil, "", fmt.Errorf("%w: no DICM at byte 128", ErrFormat)
	}
	w := &walker{data: data, order: binary.LittleEndian}
	for at+8 <= len(data) && w.order.Uint16(data[at:]) == 2 {
		e, err := w.header(at, false)
		if err != nil {
			return nil, "", err
		}
		if at, err = w.end(e, len(data)); err != nil {
			return nil, "", err
		}
		if e.tag == tagTransferSyntax {
			syntax = trimmed(data[e.value:at])
		}
	}
	body = data[at:]
	if len(body) < 8 {
		return nil, "", fmt.Errorf("%w: the file ends after its header", ErrTruncated)
	}
	if syntax == "" {
		if syntax = bareSyntax(body); syntax == "" {
			return nil, "", fmt.Errorf("%w: the transfer syntax is missing", ErrDamaged)
		}
	}
	return body, syntax, nil
}

// inflate decompresses a deflated data set up to a limit. Memory grows with what arrives.
func inflate(data []byte, limit int64) ([]byte, error) {
	var whole bytes.Buffer
	n, err := io.Copy(&whole, io.LimitReader(flate.NewReader(bytes.NewReader(data)), limit+1))
	if n > limit {
		return nil, fmt.Errorf("%w: more than %d MiB when inflated", ErrUnsupported, limit>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the deflated data set: %w", ErrTruncated, err)
	}
	return whole.Bytes(), nil
}

// maxInflated is the largest deflated data set; a gzip bomb stops here.
const maxInflated = 512 << 20

func trimmed(value []byte) string { return strings.Trim(string(value), " \x00") }
