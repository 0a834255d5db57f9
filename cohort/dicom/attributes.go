package dicom

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	parser "github.com/suyashkumar/dicom"
	"github.com/suyashkumar/dicom/pkg/tag"
)

// wantedTags are the attributes that the walker passes on to the parser, and the
// functional groups of enhanced MR that hold some of them.
var wantedTags = map[uint32]bool{
	0x00080008: true, // ImageType
	0x00080018: true, // SOPInstanceUID
	0x00080060: true, // Modality
	0x0008103e: true, // SeriesDescription
	0x00180050: true, // SliceThickness
	0x00180081: true, // EchoTime
	0x00180086: true, // EchoNumbers
	0x00180088: true, // SpacingBetweenSlices
	0x00181060: true, // TriggerTime
	0x00189082: true, // EffectiveEchoTime
	0x00189087: true, // DiffusionBValue
	0x00089007: true, // FrameType
	0x0020000e: true, // SeriesInstanceUID
	0x00200011: true, // SeriesNumber
	0x00200012: true, // AcquisitionNumber
	0x00200013: true, // InstanceNumber
	0x00200032: true, // ImagePositionPatient
	0x00200037: true, // ImageOrientationPatient
	0x00200100: true, // TemporalPositionIdentifier
	0x00209128: true, // TemporalPositionIndex
	0x00280002: true, // SamplesPerPixel
	0x00280004: true, // PhotometricInterpretation
	0x00280008: true, // NumberOfFrames
	0x00280010: true, // Rows
	0x00280011: true, // Columns
	0x00280030: true, // PixelSpacing
	0x00280100: true, // BitsAllocated
	0x00280101: true, // BitsStored
	0x00280102: true, // HighBit
	0x00280103: true, // PixelRepresentation
	0x00281052: true, // RescaleIntercept
	0x00281053: true, // RescaleSlope
	0x00282110: true, // LossyImageCompression

	0x52009229: true, // SharedFunctionalGroupsSequence
	0x52009230: true, // PerFrameFunctionalGroupsSequence
	0x00189114: true, // MREchoSequence
	0x00189117: true, // MRDiffusionSequence
	0x00189226: true, // MRImageFrameTypeSequence
	0x00209111: true, // FrameContentSequence
	0x00209113: true, // PlanePositionSequence
	0x00209116: true, // PlaneOrientationSequence
	0x00289110: true, // PixelMeasuresSequence
	0x00289145: true, // PixelValueTransformationSequence
}

// The parser fills its dictionary on first use without a lock.
var fillDictionary = sync.OnceFunc(func() { _, _ = tag.Find(tag.PixelData) })

// attributes are elements of a data set or of a sequence's item, by tag.
type attributes map[uint32]parser.Value

func collect(elements []*parser.Element) attributes {
	a := attributes{}
	for _, e := range elements {
		a[uint32(e.Tag.Group)<<16|uint32(e.Tag.Element)] = e.Value
	}
	return a
}

// parse decodes the walker's clean data set.
func parse(clean []byte, order binary.ByteOrder) (attributes, error) {
	p, err := parser.NewParser(bytes.NewReader(clean), int64(len(clean)), nil, parser.SkipMetadataReadOnNewParserInit())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	p.SetTransferSyntax(order, false)
	var elements []*parser.Element
	for {
		e, err := p.Next()
		if errors.Is(err, parser.ErrorEndOfDICOM) {
			return collect(elements), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		elements = append(elements, e)
	}
}

func (a attributes) has(t uint32) bool { _, ok := a[t]; return ok }

func (a attributes) texts(t uint32) []string {
	value, ok := a[t]
	if !ok {
		return nil
	}
	list, ok := value.GetValue().([]string)
	if !ok {
		return nil
	}
	trimmed := make([]string, len(list))
	for n, text := range list {
		trimmed[n] = strings.Trim(text, " \x00")
	}
	return trimmed
}

func (a attributes) text(t uint32) string {
	if list := a.texts(t); len(list) > 0 {
		return list[0]
	}
	return ""
}

// numbers returns the finite numbers of a value, whether written as text or in
// binary, nil when one is not a number or the count is not want.
func (a attributes) numbers(t uint32, want int) []float64 {
	var list []float64
	if a.has(t) {
		switch value := a[t].GetValue().(type) {
		case []int:
			for _, number := range value {
				list = append(list, float64(number))
			}
		case []float64:
			list = value
		case []string:
			for _, text := range value {
				number, err := strconv.ParseFloat(strings.Trim(text, " \x00"), 64)
				if err != nil {
					return nil
				}
				list = append(list, number)
			}
		}
	}
	if len(list) != want {
		return nil
	}
	for _, number := range list {
		if number-number != 0 {
			return nil
		}
	}
	return list
}

// empty reports whether a value is missing or has no length.
func (a attributes) empty(t uint32) bool {
	if !a.has(t) {
		return true
	}
	switch value := a[t].GetValue().(type) {
	case []int:
		return len(value) == 0
	case []float64:
		return len(value) == 0
	}
	return strings.Join(a.texts(t), "") == ""
}

func (a attributes) number(t uint32, otherwise float64) float64 {
	if list := a.numbers(t, 1); list != nil {
		return list[0]
	}
	return otherwise
}

// whole returns a number that should be whole, otherwise when it is missing or
// not a number of 32 bits.
func (a attributes) whole(t uint32, otherwise int) int {
	number := a.number(t, float64(otherwise))
	if !(math.Abs(number) <= math.MaxInt32) {
		return otherwise
	}
	return int(number)
}

// items returns the items of a sequence.
func (a attributes) items(t uint32) []attributes {
	if !a.has(t) {
		return nil
	}
	sequence, ok := a[t].GetValue().([]*parser.SequenceItemValue)
	if !ok {
		return nil
	}
	items := make([]attributes, len(sequence))
	for n, item := range sequence {
		elements, _ := item.GetValue().([]*parser.Element)
		items[n] = collect(elements)
	}
	return items
}

// readAttributes fills the file from its data set.
func (f *File) readAttributes(a attributes) error {
	f.SOPInstance, f.Modality = a.text(0x00080018), a.text(0x00080060)
	f.SeriesUID, f.SeriesDescription = a.text(0x0020000e), a.text(0x0008103e)
	f.ImageType = a.texts(0x00080008)
	f.SeriesNumber, f.InstanceNumber = a.whole(0x00200011, 0), a.whole(0x00200013, 0)
	if !f.HasPixels {
		return nil
	}
	f.Rows, f.Columns = a.whole(0x00280010, 0), a.whole(0x00280011, 0)
	f.NumberOfFrames = a.whole(0x00280008, 1)
	f.SamplesPerPixel, f.Photometric = a.whole(0x00280002, 1), a.text(0x00280004)
	f.BitsAllocated = a.whole(0x00280100, 16)
	f.BitsStored = a.whole(0x00280101, f.BitsAllocated)
	f.HighBit = a.whole(0x00280102, f.BitsStored-1)
	f.Signed = a.whole(0x00280103, 0) == 1
	f.Lossy = a.text(0x00282110) == "01"
	if err := f.checkPixels(); err != nil {
		return err
	}
	return f.readFrames(a)
}

// readFrames fills one entry per frame: from the frame's functional groups,
// where missing from the shared ones, else from the data set itself.
func (f *File) readFrames(a attributes) error {
	whole := Frame{Slope: 1}
	if err := whole.read(a); err != nil {
		return err
	}
	for _, shared := range a.items(0x52009229) {
		if err := whole.readGroups(shared); err != nil {
			return err
		}
	}
	perFrame := a.items(0x52009230)
	if len(perFrame) > 0 && len(perFrame) != f.NumberOfFrames {
		return fmt.Errorf("%w: functional groups for %d of %d frames", ErrDamaged, len(perFrame), f.NumberOfFrames)
	}
	f.Frames = make([]Frame, f.NumberOfFrames)
	for n := range f.Frames {
		f.Frames[n] = whole
		if len(perFrame) > 0 {
			if err := f.Frames[n].readGroups(perFrame[n]); err != nil {
				return fmt.Errorf("frame %d: %w", n+1, err)
			}
		}
	}
	return nil
}

// readGroups reads the functional groups of a frame (PS3.3 section C.7.6.16).
func (s *Frame) readGroups(groups attributes) error {
	for _, group := range []uint32{0x00189114, 0x00189117, 0x00189226, 0x00209111, 0x00209113, 0x00209116, 0x00289110, 0x00289145} {
		for _, item := range groups.items(group) {
			if err := s.read(item); err != nil {
				return err
			}
		}
	}
	return nil
}

// read takes over what a data set or a functional group states of a slice. A
// position or a scaling that is there but makes no sense is an error, since the
// slice would be misplaced or its values be wrong.
func (s *Frame) read(a attributes) error {
	for _, list := range []struct {
		t      uint32
		count  int
		target *[]float64
	}{{0x00200032, 3, &s.Position}, {0x00200037, 6, &s.Orientation}, {0x00280030, 2, &s.PixelSpacing}} {
		if numbers := a.numbers(list.t, list.count); numbers != nil {
			*list.target = numbers
		} else if !a.empty(list.t) {
			return fmt.Errorf("%w: element %s is not %d numbers", ErrDamaged, tagText(list.t), list.count)
		}
	}
	for _, single := range []struct {
		t      uint32
		target *float64
	}{
		{0x00180050, &s.SliceThickness}, {0x00180088, &s.SpacingBetweenSlices},
		{0x00281053, &s.Slope}, {0x00281052, &s.Intercept},
		{0x00180081, &s.EchoTime}, {0x00189082, &s.EchoTime}, {0x00189087, &s.BValue}, {0x00181060, &s.TriggerTime},
	} {
		*single.target = a.number(single.t, *single.target)
		if scaling := single.t>>16 == 0x0028; scaling && !a.empty(single.t) && a.numbers(single.t, 1) == nil {
			return fmt.Errorf("%w: element %s is not a number", ErrDamaged, tagText(single.t))
		}
	}
	for _, single := range []struct {
		t      uint32
		target *int
	}{
		{0x00200100, &s.TemporalPosition}, {0x00209128, &s.TemporalPosition},
		{0x00180086, &s.EchoNumber}, {0x00200012, &s.Acquisition},
	} {
		*single.target = a.whole(single.t, *single.target)
	}
	for _, t := range []uint32{0x00080008, 0x00089007} {
		if kind := a.texts(t); kind != nil {
			s.Kind = strings.Join(kind, `\`)
		}
	}
	return nil
}
