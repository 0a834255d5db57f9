package codec

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

// A resolution is one step of the wavelet pyramid, 0 the smallest.
type resolution struct {
	rect
	bands     []*band
	across    int // precincts in a row
	precincts []*precinct
}

// A band is a subband: LL in resolution 0, else HL, LH and HH.
type band struct {
	rect
	kind               int // 0 LL, 1 HL, 2 LH, 3 HH
	exponent, mantissa int
	planes             int // magnitude bit planes, Mb
	blocks             []*block
}

// A precinct is the part of a resolution that one packet of a layer codes.
type precinct struct {
	x, y  int // on the reference grid, for progressions by position
	bands []precinctBand
}

// A precinctBand is the code blocks that a precinct has in one band.
type precinctBand struct {
	band                *band
	across, down        int
	blocks              []*block
	inclusion, zeroBits *tagTree
}

// A block is a code block.
type block struct {
	rect
	included bool
	planes   int // bit planes from the first that is not all zero
	lengths  int // Lblock
	passes   int
	segments []segment
}

// A segment is a run of coding passes that was terminated as one code word.
type segment struct {
	passes, most int
	data         []byte
}

// Styles of code blocks.
const (
	styleBypass = 1 << iota
	styleReset
	styleTerminate
	styleCausal
	stylePredictable
	styleSegmentation
)

// layOut computes resolutions, bands, precincts and code blocks (T.800 annex B).
func (t *j2kTile) layOut(area rect) ([]*resolution, error) {
	resolutions := make([]*resolution, t.levels+1)
	total := 0
	for n := range resolutions {
		shift := t.levels - n
		r := &resolution{rect: rect{ceilShift(area.x0, shift), ceilShift(area.y0, shift), ceilShift(area.x1, shift), ceilShift(area.y1, shift)}}
		resolutions[n] = r
		kinds, level := []int{1, 2, 3}, shift+1
		if n == 0 {
			kinds, level = []int{0}, shift
		}
		for _, kind := range kinds {
			b := &band{kind: kind, rect: bandRect(area, kind, level)}
			number := 0
			if n > 0 {
				number = 3*(n-1) + kind
			}
			var err error
			if b.exponent, b.mantissa, err = t.step(number, level); err != nil {
				return nil, err
			}
			b.planes = t.guard + b.exponent - 1
			r.bands = append(r.bands, b)
		}
		w, h := t.precinct(n)
		if r.empty() {
			continue
		}
		r.across = ceilShift(r.x1, w) - r.x0>>w
		down := ceilShift(r.y1, h) - r.y0>>h
		// Every packet has one byte at least.
		if total += r.across * down; int64(r.across)*int64(down) > int64(len(t.data)) || total > len(t.data) {
			return nil, fmt.Errorf("%w: %d bytes cannot hold %d x %d precincts", ErrTruncated, len(t.data), r.across, down)
		}
		for number := range r.across * down {
			r.precincts = append(r.precincts, t.newPrecinct(r, area, number, n))
		}
	}
	return resolutions, nil
}

func ceilShift(a, n int) int { return int((int64(a) + 1<<n - 1) >> n) }

// bandRect is equation B-15.
func bandRect(area rect, kind, level int) rect {
	right, down := 0, 0
	if level > 0 {
		right, down = (kind&1)<<(level-1), (kind>>1)<<(level-1)
	}
	return rect{ceilShift(area.x0-right, level), ceilShift(area.y0-down, level), ceilShift(area.x1-right, level), ceilShift(area.y1-down, level)}
}

// newPrecinct lays out one precinct of resolution r.
func (t *j2kTile) newPrecinct(r *resolution, area rect, number, n int) *precinct {
	w, h := t.precinct(n)
	px, py := r.x0>>w+number%r.across, r.y0>>h+number/r.across
	p := &precinct{x: max(px<<w<<(t.levels-n), area.x0), y: max(py<<h<<(t.levels-n), area.y0)}
	if n > 0 { // in a band's own coordinates precincts are half as large
		w, h = w-1, h-1
	}
	blockW, blockH := min(t.blockW, w), min(t.blockH, h)
	for _, b := range r.bands {
		own := rect{px << w, py << h, (px + 1) << w, (py + 1) << h}.intersect(b.rect)
		part := precinctBand{band: b}
		if !own.empty() {
			x0, y0 := own.x0>>blockW, own.y0>>blockH
			part.across, part.down = ceilShift(own.x1, blockW)-x0, ceilShift(own.y1, blockH)-y0
			for row := range part.down {
				for column := range part.across {
					x, y := x0+column, y0+row
					code := &block{lengths: 3, rect: rect{x << blockW, y << blockH, (x + 1) << blockW, (y + 1) << blockH}.intersect(own)}
					part.blocks = append(part.blocks, code)
				}
			}
			b.blocks = append(b.blocks, part.blocks...)
			part.inclusion, part.zeroBits = newTagTree(part.across, part.down), newTagTree(part.across, part.down)
		}
		p.bands = append(p.bands, part)
	}
	return p
}

// readPackets reads all packets in the order of the progression.
func (t *j2kTile) readPackets(area rect, resolutions []*resolution) error {
	type place struct {
		resolution int
		precinct   *precinct
	}
	var places []place
	for n, r := range resolutions {
		for _, p := range r.precincts {
			places = append(places, place{n, p})
		}
	}
	data := t.data
	var err error
	packet := func(p place, layer int) {
		if err == nil {
			if data, err = t.readPacket(data, p.precinct, layer); err != nil {
				err = fmt.Errorf("layer %d, resolution %d: %w", layer, p.resolution, err)
			}
		}
	}
	byLayer := func(places []place) {
		for layer := range t.layers {
			for _, p := range places {
				if packet(p, layer); err != nil {
					return
				}
			}
		}
	}
	switch t.progression {
	case 0: // layer, resolution, position
		byLayer(places)
	case 1: // resolution, layer, position
		for n := range resolutions {
			byLayer(slices.DeleteFunc(slices.Clone(places), func(p place) bool { return p.resolution != n }))
		}
	default: // position, or resolution and position, then layer
		if t.progression >= 3 {
			slices.SortStableFunc(places, func(a, b place) int {
				return cmp.Or(cmp.Compare(a.precinct.y, b.precinct.y), cmp.Compare(a.precinct.x, b.precinct.x))
			})
		}
		for n := range places {
			byLayer(places[n : n+1])
		}
	}
	return err
}

// headerBits reads a packet's header; a byte after 0xff has seven bits.
type headerBits struct {
	data    []byte
	at      int
	current byte
	left    int
	beyond  byte // what is read after the end
	missing bool
}

func (b *headerBits) bit() int {
	if b.left == 0 {
		b.left = 8
		if b.current == 0xff {
			b.left = 7
		}
		if b.at < len(b.data) {
			b.current = b.data[b.at]
		} else {
			b.current, b.missing = b.beyond, true
		}
		b.at++
	}
	b.left--
	return int(b.current >> b.left & 1)
}

func (b *headerBits) bits(n int) (value int) {
	for range n {
		value = value<<1 | b.bit()
	}
	return value
}

// rest drops the padding of the last byte, and the byte that must follow 0xff.
func (b *headerBits) rest() []byte {
	if b.current == 0xff {
		b.at++
	}
	return b.data[min(b.at, len(b.data)):]
}

// readPacket reads one packet (T.800 annex B.9, B.10) and returns what follows.
func (t *j2kTile) readPacket(data []byte, p *precinct, layer int) ([]byte, error) {
	if t.markers && len(data) >= 6 && data[0] == 0xff && data[1] == 0x91 {
		data = data[6:]
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: the packets end early", ErrTruncated)
	}
	b := &headerBits{data: data}
	var parts []*contribution
	if b.bit() == 1 {
		for _, band := range p.bands {
			for n, code := range band.blocks {
				part, err := t.readBlockHeader(b, band, code, n, layer)
				if err != nil {
					return nil, err
				}
				if part != nil {
					parts = append(parts, part)
				}
			}
		}
	}
	if b.missing {
		return nil, fmt.Errorf("%w: a packet header", ErrTruncated)
	}
	data = b.rest()
	if t.markers && len(data) >= 2 && data[0] == 0xff && data[1] == 0x92 {
		data = data[2:]
	}
	for _, part := range parts {
		for n, length := range part.lengths {
			if length > len(data) {
				return nil, fmt.Errorf("%w: %d of %d bytes of a code block", ErrTruncated, len(data), length)
			}
			s := &part.block.segments[part.first+n]
			s.data = append(s.data, data[:length]...)
			data = data[length:]
		}
	}
	return data, nil
}

// A contribution is what one packet adds to a code block: bytes for segments.
type contribution struct {
	block   *block
	first   int
	lengths []int
}

// readBlockHeader reads what a packet header says of one code block; nil when
// the packet holds nothing of it.
func (t *j2kTile) readBlockHeader(b *headerBits, part precinctBand, code *block, number, layer int) (*contribution, error) {
	if code.included {
		if b.bit() == 0 {
			return nil, nil
		}
	} else {
		if !part.inclusion.decode(b, number, layer+1) {
			return nil, nil
		}
		zeros := 0
		for !part.zeroBits.decode(b, number, zeros+1) {
			if zeros++; zeros > 64 || b.missing {
				return nil, fmt.Errorf("%w: a code block of %d empty bit planes", ErrDamaged, zeros)
			}
		}
		code.included, code.planes = true, part.band.planes-zeros
		if code.planes < 1 || code.planes > 30 {
			return nil, fmt.Errorf("%w: a code block of %d bit planes", ErrDamaged, code.planes)
		}
	}
	passes := readPasses(b)
	for b.bit() == 1 && !b.missing {
		code.lengths++
	}
	if code.lengths > 31 {
		return nil, fmt.Errorf("%w: lengths of %d bits", ErrDamaged, code.lengths)
	}
	c := &contribution{block: code, first: max(len(code.segments)-1, 0)}
	if n := len(code.segments); n > 0 && code.segments[n-1].passes == code.segments[n-1].most {
		c.first = n
	}
	for number := c.first; passes > 0; number++ {
		if number == len(code.segments) {
			code.segments = append(code.segments, segment{most: t.segmentPasses(code.passes)})
		}
		s := &code.segments[number]
		count := min(passes, s.most-s.passes)
		c.lengths = append(c.lengths, b.bits(code.lengths+bits.Len(uint(count))-1))
		s.passes += count
		code.passes += count
		passes -= count
	}
	return c, nil
}

// readPasses reads the number of coding passes (table B.4).
func readPasses(b *headerBits) int {
	switch {
	case b.bit() == 0:
		return 1
	case b.bit() == 0:
		return 2
	}
	if n := b.bits(2); n < 3 {
		return 3 + n
	}
	if n := b.bits(5); n < 31 {
		return 6 + n
	}
	return 37 + b.bits(7)
}

// segmentPasses is how many passes the segment may have that begins after so
// many passes of its block.
func (t *j2kTile) segmentPasses(done int) int {
	switch {
	case t.style&styleTerminate != 0:
		return 1
	case t.style&styleBypass == 0:
		return 1 << 20
	case done < 10: // the first four bit planes
		return 10 - done
	case (done-10)%3 == 0: // the two raw passes
		return 2
	}
	return 1
}

// A tagTree codes a table of small numbers by their minima over squares (T.800
// annex B.10.2).
type tagTree struct {
	widths, starts []int
	nodes          []tagNode
}

type tagNode struct{ low, value int }

func newTagTree(w, h int) *tagTree {
	t := &tagTree{}
	total := 0
	for {
		t.widths, t.starts = append(t.widths, w), append(t.starts, total)
		total += w * h
		if w*h <= 1 {
			break
		}
		w, h = (w+1)/2, (h+1)/2
	}
	t.nodes = make([]tagNode, total)
	for n := range t.nodes {
		t.nodes[n].value = 1 << 30
	}
	return t
}

// decode reports whether the leaf's value is below the threshold.
func (t *tagTree) decode(b *headerBits, leaf, threshold int) bool {
	x, y := leaf%t.widths[0], leaf/t.widths[0]
	low := 0
	var node *tagNode
	for level := len(t.widths) - 1; level >= 0; level-- {
		node = &t.nodes[t.starts[level]+(y>>level)*t.widths[level]+x>>level]
		low = max(low, node.low)
		for low < threshold && low < node.value {
			if b.bit() == 1 {
				node.value = low
			} else {
				low++
			}
		}
		node.low = low
	}
	return node.value < threshold
}
