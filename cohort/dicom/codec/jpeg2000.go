package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// JPEG2000 decodes JPEG 2000 part 1 (ITU-T T.800 / ISO 15444-1), reversible and
// irreversible, of one component of 1 to 16 bits: a codestream, or one in a JP2
// file. All progressions, tiles, layers, precincts and code-block styles are
// read; regions of interest, changes of progression (POC), packed packet headers
// (PPM, PPT) and high-throughput blocks (HTJ2K) are refused.
//
// Samples of a reversible stream are exact. Those of an irreversible one are
// computed in float64 and rounded to the nearest integer, halves to even; other
// decoders compute in float32 and may differ by one.
func JPEG2000(data []byte, width, height int) (*Image, error) {
	stream, err := codestream(data)
	if err != nil {
		return nil, err
	}
	d := &jpeg2000{width: width, height: height}
	if err := d.readStream(stream); err != nil {
		return nil, err
	}
	picture := &Image{Width: d.x1 - d.x0, Height: d.y1 - d.y0, Bits: d.bits, Signed: d.signed}
	picture.Samples = make([]int32, picture.Width*picture.Height)
	for number := range d.tiles {
		if err := d.decodeTile(number, picture); err != nil {
			return nil, fmt.Errorf("tile %d: %w", number, err)
		}
	}
	return picture, nil
}

// codestream returns the codestream of a JP2 file, or data that are one.
func codestream(data []byte) ([]byte, error) {
	if len(data) >= 2 && data[0] == 0xff && data[1] == 0x4f {
		return data, nil
	}
	if len(data) < 12 || string(data[4:8]) != "jP  " {
		return nil, fmt.Errorf("%w: no JPEG 2000 start marker", ErrDamaged)
	}
	for len(data) >= 8 {
		length, header := uint64(binary.BigEndian.Uint32(data)), uint64(8)
		if length == 1 && len(data) >= 16 {
			length, header = binary.BigEndian.Uint64(data[8:]), 16
		}
		if length == 0 { // up to the end of the file
			length = uint64(len(data))
		}
		if length < header || length > uint64(len(data)) {
			return nil, fmt.Errorf("%w: a box of %d bytes", ErrTruncated, length)
		}
		if string(data[4:8]) == "jp2c" {
			return data[header:length], nil
		}
		data = data[length:]
	}
	return nil, fmt.Errorf("%w: no codestream in the JP2 file", ErrDamaged)
}

type jpeg2000 struct {
	width, height  int // expected of the picture
	x0, y0, x1, y1 int // of the picture on the reference grid
	tx0, ty0       int // of the first tile
	tileW, tileH   int
	across, down   int // tiles
	bits           int
	signed         bool
	main           coding
	tiles          []j2kTile
}

// coding is how a tile is coded: the segments COD and QCD.
type coding struct {
	progression      int // 0 LRCP, 1 RLCP, 2 RPCL, 3 PCRL, 4 CPRL
	layers, levels   int
	blockW, blockH   int // exponents
	style            int // of code blocks, see the constants
	reversible       bool
	markers          bool   // SOP or EPH may occur
	precincts        []byte // exponents per resolution: width, height << 4
	guard            int
	quantisation     int // 0 none, 1 derived from the first, 2 stated for each band
	exponents, mants []int
	hasCOD, hasQCD   bool
}

type j2kTile struct {
	coding
	data []byte // of all its parts
	seen bool
}

// maxTilePixels bounds the arrays of one picture.
const maxTilePixels = 1 << 26

// readStream reads all headers and gathers the tiles' data.
func (d *jpeg2000) readStream(stream []byte) error {
	rest := stream[2:]
	for {
		if len(rest) < 2 {
			return d.checkTiles("the codestream ends early")
		}
		if rest[0] == 0xff && rest[1] == 0xd9 {
			return d.checkTiles("the codestream ends")
		}
		code, segment, after, err := marker(rest)
		if err != nil {
			return err
		}
		if code == 0x90 {
			if rest, err = d.readTilePart(rest, segment, after); err != nil {
				return err
			}
			continue
		}
		if code == 0x51 {
			err = d.readSize(segment, len(stream))
		} else {
			err = d.main.read(code, segment)
		}
		if err != nil {
			return err
		}
		rest = after
	}
}

func (d *jpeg2000) checkTiles(when string) error {
	if len(d.tiles) == 0 {
		return fmt.Errorf("%w: %s before any tile", ErrTruncated, when)
	}
	for number, tile := range d.tiles {
		if !tile.seen {
			return fmt.Errorf("%w: %s before tile %d of %d", ErrTruncated, when, number+1, len(d.tiles))
		}
	}
	return nil
}

// readSize reads the SIZ segment.
func (d *jpeg2000) readSize(segment []byte, bytes int) error {
	if len(segment) < 39 || d.bits > 0 {
		return fmt.Errorf("%w: the size segment", ErrDamaged)
	}
	var field [8]int64
	for n := range field {
		field[n] = int64(binary.BigEndian.Uint32(segment[2+4*n:]))
		if field[n] > math.MaxInt32 {
			return fmt.Errorf("%w: a grid of %d points", ErrUnsupported, field[n])
		}
	}
	if components := binary.BigEndian.Uint16(segment[34:]); components != 1 {
		return fmt.Errorf("%w: %d components (colour)", ErrUnsupported, components)
	}
	d.x1, d.y1, d.x0, d.y0 = int(field[0]), int(field[1]), int(field[2]), int(field[3])
	d.tileW, d.tileH, d.tx0, d.ty0 = int(field[4]), int(field[5]), int(field[6]), int(field[7])
	d.bits, d.signed = int(segment[36]&0x7f)+1, segment[36]&0x80 != 0
	if segment[37] != 1 || segment[38] != 1 || d.bits > 16 {
		return fmt.Errorf("%w: %d bits, subsampled %d x %d", ErrUnsupported, d.bits, segment[37], segment[38])
	}
	if d.tileW < 1 || d.tileH < 1 || d.tx0 > d.x0 || d.ty0 > d.y0 || d.tx0+d.tileW <= d.x0 || d.ty0+d.tileH <= d.y0 {
		return fmt.Errorf("%w: tiles of %d x %d points", ErrDamaged, d.tileW, d.tileH)
	}
	if err := checkSize(d.x1-d.x0, d.y1-d.y0, d.width, d.height, bytes, bestOther); err != nil {
		return err
	}
	if int64(d.x1-d.x0)*int64(d.y1-d.y0) > maxTilePixels {
		return fmt.Errorf("%w: %d x %d pixels", ErrUnsupported, d.x1-d.x0, d.y1-d.y0)
	}
	d.across, d.down = ceilDiv(d.x1-d.tx0, d.tileW), ceilDiv(d.y1-d.ty0, d.tileH)
	if int64(d.across)*int64(d.down) > int64(bytes)/14 { // a tile part has 14 bytes at least
		return fmt.Errorf("%w: %d bytes cannot hold %d x %d tiles", ErrTruncated, bytes, d.across, d.down)
	}
	d.tiles = make([]j2kTile, d.across*d.down)
	return nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// readTilePart reads an SOT segment, the part's own header and its data.
func (d *jpeg2000) readTilePart(start, segment, after []byte) (rest []byte, err error) {
	if len(segment) < 8 || len(d.tiles) == 0 {
		return nil, fmt.Errorf("%w: a tile-part header", ErrDamaged)
	}
	number, length := int(binary.BigEndian.Uint16(segment)), int64(binary.BigEndian.Uint32(segment[2:]))
	if number >= len(d.tiles) {
		return nil, fmt.Errorf("%w: tile %d of %d", ErrDamaged, number, len(d.tiles))
	}
	if length == 0 { // up to the end
		length = int64(len(bytes.TrimSuffix(start, []byte{0xff, 0xd9})))
	}
	if length > int64(len(start)) || length < int64(len(start)-len(after)) {
		return nil, fmt.Errorf("%w: %d of %d bytes of a tile part", ErrTruncated, len(start), length)
	}
	rest, after = start[length:], after[:length-int64(len(start)-len(after))]
	tile := &d.tiles[number]
	if !tile.seen {
		tile.seen, tile.coding = true, d.main
	}
	for {
		if len(after) >= 2 && after[0] == 0xff && after[1] == 0x93 {
			tile.data = append(tile.data, after[2:]...)
			return rest, nil
		}
		var code byte
		if code, segment, after, err = marker(after); err != nil {
			return nil, err
		}
		if err := tile.read(code, segment); err != nil {
			return nil, err
		}
	}
}

// read reads a segment of a main or tile-part header.
func (c *coding) read(code byte, segment []byte) error {
	switch code {
	case 0x52: // COD
		if len(segment) < 5 {
			break
		}
		if err := c.readStyle(segment[5:], segment[0]&1 != 0); err != nil {
			return err
		}
		c.progression, c.layers = int(segment[1]), int(binary.BigEndian.Uint16(segment[2:]))
		c.markers, c.hasCOD = segment[0]&6 != 0, true
		if c.progression > 4 || c.layers < 1 {
			return fmt.Errorf("%w: progression %d with %d layers", ErrDamaged, c.progression, c.layers)
		}
		return nil
	case 0x53: // COC, for component 0
		if len(segment) >= 2 && segment[0] == 0 {
			return c.readStyle(segment[2:], segment[1]&1 != 0)
		}
		return nil
	case 0x5c: // QCD
		return c.readQuantisation(segment)
	case 0x5d: // QCC, for component 0
		if len(segment) >= 1 && segment[0] == 0 {
			return c.readQuantisation(segment[1:])
		}
		return nil
	case 0x5e, 0x5f, 0x60, 0x61, 0x50:
		names := map[byte]string{0x5e: "a region of interest", 0x5f: "changes of progression", 0x60: "packed packet headers", 0x61: "packed packet headers", 0x50: "high-throughput blocks (HTJ2K)"}
		return fmt.Errorf("%w: JPEG 2000 with %s", ErrUnsupported, names[code])
	default: // comments, lengths of tile parts and packets, registration
		return nil
	}
	return fmt.Errorf("%w: header segment 0x%02x of %d bytes", ErrDamaged, code, len(segment))
}

// readStyle reads the part that COD and COC share.
func (c *coding) readStyle(segment []byte, ownPrecincts bool) error {
	if len(segment) < 5 {
		return fmt.Errorf("%w: the coding style", ErrDamaged)
	}
	c.levels, c.blockW, c.blockH = int(segment[0]), int(segment[1]&15)+2, int(segment[2]&15)+2
	c.style, c.reversible = int(segment[3]), segment[4] == 1
	if c.levels > 24 || c.blockW > 10 || c.blockH > 10 || c.blockW+c.blockH > 12 || segment[4] > 1 {
		return fmt.Errorf("%w: %d levels, blocks of 2^%d x 2^%d, transformation %d", ErrDamaged, c.levels, c.blockW, c.blockH, segment[4])
	}
	if c.style&^63 != 0 {
		return fmt.Errorf("%w: JPEG 2000 with high-throughput blocks (HTJ2K)", ErrUnsupported)
	}
	c.precincts = nil
	if !ownPrecincts {
		return nil
	}
	if len(segment) < 6+c.levels {
		return fmt.Errorf("%w: the sizes of the precincts", ErrDamaged)
	}
	c.precincts = segment[5 : 6+c.levels]
	for resolution, size := range c.precincts {
		if resolution > 0 && (size&15 == 0 || size>>4 == 0) {
			return fmt.Errorf("%w: precincts of one sample", ErrDamaged)
		}
	}
	return nil
}

func (c *coding) readQuantisation(segment []byte) error {
	if len(segment) < 2 {
		return fmt.Errorf("%w: the quantisation", ErrDamaged)
	}
	c.quantisation, c.guard, c.hasQCD = int(segment[0]&31), int(segment[0]>>5), true
	c.exponents, c.mants = nil, nil
	switch segment = segment[1:]; c.quantisation {
	case 0:
		for _, value := range segment {
			c.exponents, c.mants = append(c.exponents, int(value>>3)), append(c.mants, 0)
		}
		return nil
	case 1, 2:
		for ; len(segment) >= 2; segment = segment[2:] {
			value := int(binary.BigEndian.Uint16(segment))
			c.exponents, c.mants = append(c.exponents, value>>11), append(c.mants, value&0x7ff)
		}
		return nil
	}
	return fmt.Errorf("%w: quantisation style %d", ErrDamaged, c.quantisation)
}

// precinct returns the exponents of a resolution's precincts.
func (c *coding) precinct(resolution int) (w, h int) {
	if resolution < len(c.precincts) {
		return int(c.precincts[resolution] & 15), int(c.precincts[resolution] >> 4)
	}
	return 15, 15
}

// step returns a band's exponent and mantissa; level is its decomposition level,
// number its place in the order of the quantisation segment.
func (c *coding) step(number, level int) (exponent, mantissa int, err error) {
	derived := c.quantisation == 1
	if derived {
		number = 0
	}
	if number >= len(c.exponents) {
		return 0, 0, fmt.Errorf("%w: the quantisation of band %d is missing", ErrDamaged, number)
	}
	exponent, mantissa = c.exponents[number], c.mants[number]
	if derived {
		exponent += level - c.levels
	}
	return exponent, mantissa, nil
}

// decodeTile decodes a tile into its place in the picture.
func (d *jpeg2000) decodeTile(number int, picture *Image) error {
	tile := &d.tiles[number]
	if !tile.hasCOD || !tile.hasQCD {
		return fmt.Errorf("%w: coding style or quantisation is missing", ErrDamaged)
	}
	column, row := number%d.across, number/d.across
	area := rect{
		max(d.tx0+column*d.tileW, d.x0), max(d.ty0+row*d.tileH, d.y0),
		min(d.tx0+(column+1)*d.tileW, d.x1), min(d.ty0+(row+1)*d.tileH, d.y1),
	}
	resolutions, err := tile.layOut(area)
	if err != nil {
		return err
	}
	if err := tile.readPackets(area, resolutions); err != nil {
		return err
	}
	if tile.reversible {
		d.place(tile.reconstruct(resolutions), area, picture)
		return nil
	}
	values := tile.reconstructReal(resolutions, d.bits)
	samples := make([]int32, len(values))
	for n, value := range values {
		samples[n] = int32(math.RoundToEven(min(max(value, math.MinInt32/2), math.MaxInt32/2)))
	}
	d.place(samples, area, picture)
	return nil
}

// place undoes the level shift and writes the samples, clipped to their range.
func (d *jpeg2000) place(samples []int32, area rect, picture *Image) {
	low, high, shift := int32(0), int32(1)<<d.bits-1, int32(1)<<(d.bits-1)
	if d.signed {
		low, high, shift = -shift, shift-1, 0
	}
	for y := range area.height() {
		out := picture.Samples[(area.y0-d.y0+y)*picture.Width+area.x0-d.x0:][:area.width()]
		for x := range out {
			out[x] = min(max(samples[y*area.width()+x]+shift, low), high)
		}
	}
}

// A rect is a half-open rectangle.
type rect struct{ x0, y0, x1, y1 int }

func (r rect) width() int  { return max(r.x1-r.x0, 0) }
func (r rect) height() int { return max(r.y1-r.y0, 0) }
func (r rect) empty() bool { return r.x1 <= r.x0 || r.y1 <= r.y0 }

func (r rect) intersect(o rect) rect {
	return rect{max(r.x0, o.x0), max(r.y0, o.y0), min(r.x1, o.x1), min(r.y1, o.y1)}
}
