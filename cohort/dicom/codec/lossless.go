package codec

import (
	"encoding/binary"
	"fmt"
)

// JPEGLossless decodes lossless JPEG with Huffman coding (T.81 process 14 with
// any of its seven predictors; DICOM's usual choice is predictor 1, the pixel
// to the left), 2 to 16 bits, one component.
func JPEGLossless(data []byte, width, height int) (*Image, error) {
	d := &lossless{}
	scan, err := d.readHeaders(data)
	if err != nil {
		return nil, err
	}
	if err := checkSize(d.width, d.height, width, height, len(data), bestLossless); err != nil {
		return nil, err
	}
	if err := d.readScan(scan); err != nil {
		return nil, err
	}
	return &Image{Width: d.width, Height: d.height, Bits: d.bits, Samples: d.samples}, nil
}

type lossless struct {
	width, height, bits int
	predictor           int // 1 to 7 (T.81 table H.1)
	transform           int // point transform: samples were shifted right by so many bits
	restart             int // pixels between two restart markers, 0 for none
	tables              [4]*huffman
	table               *huffman
	samples             []int32
}

// marker returns the next marker's code and its segment, and what follows.
func marker(data []byte) (code byte, segment, rest []byte, err error) {
	for len(data) >= 2 && data[0] == 0xff && data[1] == 0xff { // fill bytes
		data = data[1:]
	}
	if len(data) < 2 {
		return 0, nil, nil, fmt.Errorf("%w: the headers end early", ErrTruncated)
	}
	if data[0] != 0xff {
		return 0, nil, nil, fmt.Errorf("%w: byte 0x%02x where a marker should be", ErrDamaged, data[0])
	}
	code = data[1]
	if code == 0xd8 || code == 0x01 || code >= 0xd0 && code <= 0xd7 { // they have no segment
		return code, nil, data[2:], nil
	}
	if len(data) < 4 {
		return 0, nil, nil, fmt.Errorf("%w: the headers end early", ErrTruncated)
	}
	length := int(binary.BigEndian.Uint16(data[2:]))
	if length < 2 || 2+length > len(data) {
		return 0, nil, nil, fmt.Errorf("%w: a marker segment of %d bytes", ErrTruncated, length)
	}
	return code, data[4 : 2+length], data[2+length:], nil
}

// readHeaders reads all segments up to the scan and returns the coded data.
func (d *lossless) readHeaders(data []byte) (scan []byte, err error) {
	for first := true; ; first = false {
		code, segment, rest, err := marker(data)
		if err != nil {
			return nil, err
		}
		data = rest
		if first && code != 0xd8 {
			return nil, fmt.Errorf("%w: no JPEG start marker", ErrDamaged)
		}
		switch {
		case code == 0xc4:
			err = d.readTables(segment)
		case code == 0xc3:
			err = d.readFrame(segment)
		case code >= 0xc0 && code <= 0xcf && code != 0xc8 && code != 0xcc:
			err = fmt.Errorf("%w: JPEG process SOF%d instead of lossless Huffman (SOF3)", ErrUnsupported, code-0xc0)
		case code == 0xdd && len(segment) >= 2:
			d.restart = int(binary.BigEndian.Uint16(segment))
		case code == 0xd9:
			err = fmt.Errorf("%w: the JPEG holds no picture", ErrTruncated)
		case code == 0xda:
			return data, d.readScanHeader(segment)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (d *lossless) readFrame(segment []byte) error {
	if len(segment) < 9 {
		return fmt.Errorf("%w: a frame header of %d bytes", ErrDamaged, len(segment))
	}
	d.bits = int(segment[0])
	d.height, d.width = int(binary.BigEndian.Uint16(segment[1:])), int(binary.BigEndian.Uint16(segment[3:]))
	if d.bits < 2 || d.bits > 16 {
		return fmt.Errorf("%w: samples of %d bits", ErrDamaged, d.bits)
	}
	if segment[5] != 1 {
		return fmt.Errorf("%w: %d components (colour)", ErrUnsupported, segment[5])
	}
	return nil
}

func (d *lossless) readScanHeader(segment []byte) error {
	if d.bits == 0 {
		return fmt.Errorf("%w: a scan before the frame header", ErrDamaged)
	}
	if len(segment) < 6 || segment[0] != 1 {
		return fmt.Errorf("%w: a scan header of %d bytes", ErrDamaged, len(segment))
	}
	d.table = d.tables[segment[2]>>4&3]
	d.predictor, d.transform = int(segment[3]), int(segment[5]&15)
	if d.table == nil {
		return fmt.Errorf("%w: the scan's Huffman table is missing", ErrDamaged)
	}
	if d.predictor < 1 || d.predictor > 7 {
		return fmt.Errorf("%w: predictor %d", ErrUnsupported, d.predictor)
	}
	if d.transform >= d.bits {
		return fmt.Errorf("%w: a point transform of %d bits on samples of %d", ErrDamaged, d.transform, d.bits)
	}
	if d.width > 0 && d.restart%d.width != 0 {
		return fmt.Errorf("%w: restarts within a row", ErrDamaged)
	}
	return nil
}

// A huffman table decodes canonical codes of 1 to 16 bits (T.81 annex F.2.2.3).
type huffman struct {
	values  []byte
	fast    [256]uint16 // by the next 8 bits: length << 8 | value, 0 when the code is longer
	maxCode [18]int32   // largest code of each length, -1 when there is none
	offset  [17]int32   // index of the first value of a length, less its first code
}

func (d *lossless) readTables(segment []byte) error {
	for len(segment) > 0 {
		if len(segment) < 17 {
			return fmt.Errorf("%w: a Huffman table of %d bytes", ErrDamaged, len(segment))
		}
		total := 0
		for _, count := range segment[1:17] {
			total += int(count)
		}
		if total > 256 || 17+total > len(segment) {
			return fmt.Errorf("%w: a Huffman table of %d codes", ErrDamaged, total)
		}
		table, err := newHuffman(segment[1:17], segment[17:17+total])
		if err != nil {
			return err
		}
		d.tables[segment[0]&3] = table
		segment = segment[17+total:]
	}
	return nil
}

func newHuffman(counts, values []byte) (*huffman, error) {
	h := &huffman{values: values}
	code, index := int32(0), int32(0)
	for length := 1; length <= 16; length++ {
		h.maxCode[length] = -1
		h.offset[length] = index - code
		for range counts[length-1] {
			if code >= 1<<length {
				return nil, fmt.Errorf("%w: a Huffman table with too many codes", ErrDamaged)
			}
			if length <= 8 {
				for low := range int32(1) << (8 - length) {
					h.fast[code<<(8-length)|low] = uint16(length)<<8 | uint16(values[index])
				}
			}
			h.maxCode[length] = code
			code++
			index++
		}
		code <<= 1
	}
	return h, nil
}

// entropyBits reads the bits of a JPEG scan, most significant first; a zero
// byte after 0xff is dropped. At a marker or the end zeros are read, and
// counted in missing.
type entropyBits struct {
	data    []byte
	at      int
	bits    uint32
	count   int
	missing int
}

func (b *entropyBits) fill() {
	for b.count <= 24 {
		var next byte
		switch {
		case b.at >= len(b.data):
			b.missing++
		case b.data[b.at] != 0xff:
			next = b.data[b.at]
			b.at++
		case b.at+1 < len(b.data) && b.data[b.at+1] == 0:
			next = 0xff
			b.at += 2
		default: // a marker
			b.missing++
		}
		b.bits |= uint32(next) << (24 - b.count)
		b.count += 8
	}
}

// exhausted reports whether bits were used that the data did not hold.
func (b *entropyBits) exhausted() bool { return 8*b.missing > b.count }

func (b *entropyBits) drop(n int) {
	b.bits <<= n
	b.count -= n
}

// decode reads one code; 255 stands for none that the table knows (categories
// end at 16).
func (h *huffman) decode(b *entropyBits) byte {
	b.fill()
	if entry := h.fast[b.bits>>24]; entry != 0 {
		b.drop(int(entry >> 8))
		return byte(entry)
	}
	for length := 1; length <= 16; length++ {
		if code := int32(b.bits >> (32 - length)); code <= h.maxCode[length] {
			b.drop(length)
			return h.values[code+h.offset[length]]
		}
	}
	return 255
}

// difference reads a prediction error (T.81 annex H.1.2.2): its category, then
// as many bits; category 16 is 32768 and has none.
func (h *huffman) difference(b *entropyBits) (int32, error) {
	category := int(h.decode(b))
	switch {
	case category == 0:
		return 0, nil
	case category == 16:
		return 32768, nil
	case category > 16:
		return 0, fmt.Errorf("%w: an unknown Huffman code", ErrDamaged)
	}
	b.fill()
	value := int32(b.bits >> (32 - category))
	b.drop(category)
	if value < 1<<(category-1) {
		value += -1<<category + 1
	}
	return value, nil
}

func (d *lossless) readScan(scan []byte) error {
	width := d.width
	d.samples = make([]int32, 0, width*d.height)
	b := &entropyBits{data: scan}
	fresh := true // the first row of the picture or after a restart marker
	for y := range d.height {
		if d.restart > 0 && y > 0 && y*width%d.restart == 0 {
			if err := b.restartMarker(); err != nil {
				return err
			}
			fresh = true
		}
		for x := range width {
			predicted := d.predict(x, fresh)
			error, err := d.table.difference(b)
			if err != nil {
				return fmt.Errorf("row %d: %w", y, err)
			}
			d.samples = append(d.samples, (predicted+error)&0xffff)
		}
		if b.exhausted() {
			return fmt.Errorf("%w: the JPEG's data end in row %d of %d", ErrTruncated, y+1, d.height)
		}
		fresh = false
	}
	for n := range d.samples {
		d.samples[n] <<= d.transform
	}
	return nil
}

// predict returns the predictor's value for column x of the row under way
// (T.81 table H.1).
func (d *lossless) predict(x int, fresh bool) int32 {
	n := len(d.samples)
	switch {
	case fresh && x == 0:
		return 1 << (d.bits - d.transform - 1)
	case fresh:
		return d.samples[n-1]
	case x == 0:
		return d.samples[n-d.width]
	}
	a, b, c := d.samples[n-1], d.samples[n-d.width], d.samples[n-d.width-1]
	switch d.predictor {
	case 1:
		return a
	case 2:
		return b
	case 3:
		return c
	case 4:
		return a + b - c
	case 5:
		return a + (b-c)>>1
	case 6:
		return b + (a-c)>>1
	}
	return (a + b) >> 1
}

// restartMarker drops the bits left of a byte and the marker RST0 to RST7.
func (b *entropyBits) restartMarker() error {
	for at := b.at; at+1 < len(b.data); at++ {
		if b.data[at] == 0xff && b.data[at+1] >= 0xd0 && b.data[at+1] <= 0xd7 {
			*b = entropyBits{data: b.data, at: at + 2}
			return nil
		}
	}
	return fmt.Errorf("%w: a restart marker is missing", ErrTruncated)
}
