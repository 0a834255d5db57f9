package dicom

import (
	"encoding/binary"
	"fmt"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// walker goes through the data elements of a file (DICOM PS3.5 section 7)
// before the parser may see them: it checks every length against the bytes that
// are there, bounds the depth of nested sequences, finds the pixel data, and
// copies the attributes that are asked for, and only those, into clean. The
// copy is always explicit VR; sequences and items in it have undefined length.
type walker struct {
	data  []byte
	order binary.ByteOrder
	clean []byte
	count int // of the elements and items in clean

	pixels   pixelData
	creators map[uint32]string // of private blocks: (gggg,00bb)
	csa      []byte            // Siemens' private image header
}

// Limits: how deep sequences may be nested, where enhanced MR needs 6, and how
// many elements and items of them are passed on, about 40 for each frame.
const (
	maxDepth  = 32
	maxCopied = 1 << 20
)

const undefinedLength = 0xffffffff

// Tags that are not attributes.
const (
	tagItem           = 0xfffee000
	tagItemEnd        = 0xfffee00d
	tagSequenceEnd    = 0xfffee0dd
	tagPixelData      = 0x7fe00010
	tagTransferSyntax = 0x00020010
)

// An element is a data element's header; its value starts at byte value.
type element struct {
	tag    uint32
	vr     string
	length uint32
	value  int
}

// header reads the element at byte at. Items and delimiters have no VR.
func (w *walker) header(at int, implicit bool) (element, error) {
	if w.count > maxCopied {
		return element{}, fmt.Errorf("%w: more than %d attributes", ErrUnsupported, maxCopied)
	}
	if len(w.data)-at < 8 {
		return element{}, fmt.Errorf("%w: an element is cut at byte %d", ErrTruncated, at)
	}
	e := element{tag: uint32(w.order.Uint16(w.data[at:]))<<16 | uint32(w.order.Uint16(w.data[at+2:]))}
	if e.tag>>16 == 0xfffe || implicit {
		e.length, e.value = w.order.Uint32(w.data[at+4:]), at+8
		if implicit {
			e.vr = dictionaryVR(e.tag)
		}
		return e, nil
	}
	e.vr = string(w.data[at+4 : at+6])
	switch e.vr {
	case "OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV":
		if len(w.data)-at < 12 {
			return element{}, fmt.Errorf("%w: element %s is cut at byte %d", ErrTruncated, tagText(e.tag), at)
		}
		e.length, e.value = w.order.Uint32(w.data[at+8:]), at+12
	default:
		if !isVR(e.vr) {
			return element{}, fmt.Errorf("%w: element %s at byte %d has no value representation", ErrDamaged, tagText(e.tag), at)
		}
		e.length, e.value = uint32(w.order.Uint16(w.data[at+6:])), at+8
	}
	return e, nil
}

func isVR(vr string) bool {
	return len(vr) == 2 && vr[0] >= 'A' && vr[0] <= 'Z' && vr[1] >= 'A' && vr[1] <= 'Z'
}

func tagText(t uint32) string { return fmt.Sprintf("(%04x,%04x)", t>>16, t&0xffff) }

// dictionaryVR looks a tag up in the parser's dictionary. A file of implicit VR
// does not say what its values are.
func dictionaryVR(t uint32) string {
	if t>>16&1 == 1 {
		return "UN"
	}
	info, err := tag.Find(tag.Tag{Group: uint16(t >> 16), Element: uint16(t)})
	if err != nil {
		return "UN"
	}
	return info.VR
}

// end returns where a value of known length ends.
func (w *walker) end(e element, limit int) (int, error) {
	if int64(e.value)+int64(e.length) > int64(limit) {
		return 0, fmt.Errorf("%w: element %s holds %d of %d bytes", ErrTruncated, tagText(e.tag), limit-e.value, e.length)
	}
	return e.value + int(e.length), nil
}

// walk goes through the elements from byte at up to limit, or up to the
// delimiter until (0 for none), and returns the byte behind them. It stops at
// the pixel data of the main data set (depth 0).
func (w *walker) walk(at, limit int, implicit, copying bool, until uint32, depth int) (int, error) {
	if depth > maxDepth {
		return 0, fmt.Errorf("%w: sequences are nested more than %d deep", ErrDamaged, maxDepth)
	}
	for at < limit {
		e, err := w.header(at, implicit)
		if err != nil {
			if depth == 0 && allZero(w.data[at:]) {
				return limit, nil // padding
			}
			return 0, err
		}
		switch {
		case e.tag == until:
			return e.value, nil
		case e.tag>>16 == 0xfffe:
			return 0, fmt.Errorf("%w: delimiter %s at byte %d", ErrDamaged, tagText(e.tag), at)
		case depth == 0 && e.tag == tagPixelData:
			return limit, w.findPixels(e)
		}
		if at, err = w.take(e, limit, implicit, copying, depth); err != nil {
			return 0, err
		}
	}
	if until != 0 {
		return 0, fmt.Errorf("%w: a sequence does not end", ErrTruncated)
	}
	return at, nil
}

// take steps over one element, copying it when it is wanted.
func (w *walker) take(e element, limit int, implicit, copying bool, depth int) (int, error) {
	wanted := copying && wantedTags[e.tag]
	if wanted && e.vr == "UN" && w.order == binary.ByteOrder(binary.LittleEndian) {
		e.vr = dictionaryVR(e.tag) // an archive that did not know the attribute passed it on
		implicit = true
	}
	if e.length == undefinedLength {
		switch e.vr {
		case "SQ":
			return w.sequence(e, limit, implicit, wanted, tagSequenceEnd, depth)
		case "UN": // its content is implicit VR (PS3.5 section 6.2.2)
			return w.sequence(e, limit, true, false, tagSequenceEnd, depth)
		}
		_, at, err := w.fragments(e, limit) // encapsulated bytes, as of an icon's pixels
		return at, err
	}
	end, err := w.end(e, limit)
	if err != nil {
		return 0, err
	}
	switch {
	case wanted && e.vr == "SQ":
		_, err = w.sequence(e, end, implicit, true, 0, depth)
	case wanted:
		w.copy(e, w.data[e.value:end])
	case depth == 0:
		w.private(e, w.data[e.value:end])
	}
	return end, err
}

// sequence walks through the items of a sequence.
func (w *walker) sequence(e element, limit int, implicit, copying bool, until uint32, depth int) (int, error) {
	if copying {
		w.copyHeader(e.tag, "SQ", undefinedLength)
	}
	at := e.value
	for at < limit {
		item, err := w.header(at, implicit)
		if err != nil {
			return 0, err
		}
		if item.tag == until {
			at = item.value
			until = 0
			break
		}
		if item.tag != tagItem {
			return 0, fmt.Errorf("%w: element %s in sequence %s where an item should be", ErrDamaged, tagText(item.tag), tagText(e.tag))
		}
		if at, err = w.item(item, limit, implicit, copying, depth); err != nil {
			return 0, err
		}
	}
	if until != 0 {
		return 0, fmt.Errorf("%w: sequence %s does not end", ErrTruncated, tagText(e.tag))
	}
	if copying {
		w.copyHeader(tagSequenceEnd, "", 0)
	}
	return at, nil
}

func (w *walker) item(item element, limit int, implicit, copying bool, depth int) (at int, err error) {
	if copying {
		w.copyHeader(tagItem, "", undefinedLength)
	}
	if item.length == undefinedLength {
		at, err = w.walk(item.value, limit, implicit, copying, tagItemEnd, depth+1)
	} else if at, err = w.end(item, limit); err == nil {
		_, err = w.walk(item.value, at, implicit, copying, 0, depth+1)
	}
	if copying {
		w.copyHeader(tagItemEnd, "", 0)
	}
	return at, err
}

// copy adds an attribute to the clean data set, unless its value has a length
// that its representation cannot have: the parser would take it for damage.
func (w *walker) copy(e element, value []byte) {
	if len(value) >= 1<<15 {
		return
	}
	unit := 1
	switch e.vr {
	case "US", "SS":
		unit = 2
	case "UL", "SL", "FL":
		unit = 4
	case "FD":
		unit = 8
	case "AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI":
	default:
		return
	}
	if len(value)%unit != 0 {
		return
	}
	w.copyHeader(e.tag, e.vr, uint32(len(value)))
	w.clean = append(w.clean, value...)
}

func (w *walker) copyHeader(t uint32, vr string, length uint32) {
	w.count++
	order := w.order.(binary.AppendByteOrder)
	w.clean = order.AppendUint16(w.clean, uint16(t>>16))
	w.clean = order.AppendUint16(w.clean, uint16(t))
	switch vr {
	case "":
	case "SQ":
		w.clean = append(w.clean, vr[0], vr[1], 0, 0)
	default:
		w.clean = append(w.clean, vr[0], vr[1])
		w.clean = order.AppendUint16(w.clean, uint16(length))
		return
	}
	w.clean = order.AppendUint32(w.clean, length)
}

// private keeps Siemens' private image header, wherever its block was put.
func (w *walker) private(e element, value []byte) {
	group, number := e.tag>>16, e.tag&0xffff
	if group != 0x0029 {
		return
	}
	if number >= 0x10 && number <= 0xff {
		w.creators[e.tag] = trimmed(value)
	} else if number&0xff == 0x10 && w.creators[group<<16|number>>8] == "SIEMENS CSA HEADER" {
		w.csa = value
	}
}

func allZero(data []byte) bool {
	for _, b := range data {
		if b != 0 {
			return false
		}
	}
	return true
}
