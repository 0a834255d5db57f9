package codec

// The coding passes of JPEG 2000's code blocks (T.800 annexes C and D).

// mqStates is table C.2: the probability estimate of the less probable symbol,
// the next state after it and after the more probable one, and whether the
// symbols change roles.
var mqStates = [47]struct {
	estimate   uint32
	less, more uint8
	exchange   uint8
}{
	{0x5601, 1, 1, 1}, {0x3401, 6, 2, 0}, {0x1801, 9, 3, 0}, {0x0ac1, 12, 4, 0}, {0x0521, 29, 5, 0}, {0x0221, 33, 38, 0},
	{0x5601, 6, 7, 1}, {0x5401, 14, 8, 0}, {0x4801, 14, 9, 0}, {0x3801, 14, 10, 0}, {0x3001, 17, 11, 0}, {0x2401, 18, 12, 0},
	{0x1c01, 20, 13, 0}, {0x1601, 21, 29, 0}, {0x5601, 14, 15, 1}, {0x5401, 14, 16, 0}, {0x5101, 15, 17, 0}, {0x4801, 16, 18, 0},
	{0x3801, 17, 19, 0}, {0x3401, 18, 20, 0}, {0x3001, 19, 21, 0}, {0x2801, 19, 22, 0}, {0x2401, 20, 23, 0}, {0x2201, 21, 24, 0},
	{0x1c01, 22, 25, 0}, {0x1801, 23, 26, 0}, {0x1601, 24, 27, 0}, {0x1401, 25, 28, 0}, {0x1201, 26, 29, 0}, {0x1101, 27, 30, 0},
	{0x0ac1, 28, 31, 0}, {0x09c1, 29, 32, 0}, {0x08a1, 30, 33, 0}, {0x0521, 31, 34, 0}, {0x0441, 32, 35, 0}, {0x02a1, 33, 36, 0},
	{0x0221, 34, 37, 0}, {0x0141, 35, 38, 0}, {0x0111, 36, 39, 0}, {0x0085, 37, 40, 0}, {0x0049, 38, 41, 0}, {0x0025, 39, 42, 0},
	{0x0015, 40, 43, 0}, {0x0009, 41, 44, 0}, {0x0005, 42, 45, 0}, {0x0001, 43, 45, 0}, {0x5601, 46, 46, 0},
}

// Contexts: 0 to 8 significance, 9 to 13 sign, 14 to 16 refinement, then:
const (
	contextRun     = 17
	contextUniform = 18
	contexts       = 19
)

// mqDecoder is the arithmetic decoder of annex C.3; data that end early count as
// ones without end.
type mqDecoder struct {
	data        []byte
	at          int
	a, c        uint32
	count       int
	states, mps [contexts]uint8
}

func (m *mqDecoder) start(data []byte) {
	m.data, m.at = data, 0
	m.c = uint32(m.byteAt(0)) << 16
	m.next()
	m.c <<= 7
	m.count -= 7
	m.a = 0x8000
}

func (m *mqDecoder) reset() {
	m.states, m.mps = [contexts]uint8{0: 4, contextRun: 3, contextUniform: 46}, [contexts]uint8{}
}

func (m *mqDecoder) byteAt(at int) byte {
	if at < len(m.data) {
		return m.data[at]
	}
	return 0xff
}

// next is BYTEIN.
func (m *mqDecoder) next() {
	if m.byteAt(m.at) != 0xff {
		m.at++
		m.c += uint32(m.byteAt(m.at)) << 8
		m.count = 8
		return
	}
	if following := m.byteAt(m.at + 1); following > 0x8f {
		m.c += 0xff00
		m.count = 8
	} else {
		m.at++
		m.c += uint32(following) << 9
		m.count = 7
	}
}

func (m *mqDecoder) decode(context int) uint8 {
	state := &mqStates[m.states[context]]
	bit := m.mps[context]
	m.a -= state.estimate
	if m.c>>16 < state.estimate { // the lower interval, of the less probable symbol
		if m.a < state.estimate {
			m.states[context] = state.more
		} else {
			bit ^= 1
			m.mps[context] ^= state.exchange
			m.states[context] = state.less
		}
		m.a = state.estimate
	} else {
		m.c -= state.estimate << 16
		if m.a&0x8000 != 0 {
			return bit
		}
		if m.a < state.estimate {
			bit ^= 1
			m.mps[context] ^= state.exchange
			m.states[context] = state.less
		} else {
			m.states[context] = state.more
		}
	}
	for {
		if m.count == 0 {
			m.next()
		}
		m.a <<= 1
		m.c <<= 1
		m.count--
		if m.a&0x8000 != 0 {
			return bit
		}
	}
}

// Flags of a coefficient.
const (
	significant = 1 << iota
	negative
	refined // at least once
	visited // in this bit plane's significance pass
)

// A blockDecoder decodes one code block after another.
type blockDecoder struct {
	mqDecoder
	raw       headerBits // of passes that bypass the arithmetic decoder
	width     int
	height    int
	stride    int     // width + 2
	flags     []uint8 // with a border of one
	values    []int32 // magnitudes in units of one half
	kind      int     // of the band
	style     int
	bypassing bool
}

// decode returns the block's coefficients, row by row, in units of one half: the
// lowest bit that was decoded is followed by a one, the middle of what is unknown.
func (d *blockDecoder) decode(code *block, kind, style int) []int32 {
	d.width, d.height, d.stride = code.width(), code.height(), code.width()+2
	d.kind, d.style = kind, style
	d.flags = append(d.flags[:0], make([]uint8, d.stride*(d.height+2))...)
	d.values = append(d.values[:0], make([]int32, d.width*d.height)...)
	d.reset()
	pass, plane := 2, code.planes-1 // the first bit plane has a cleanup pass only
	done := 0
	for _, s := range code.segments {
		d.bypassing = style&styleBypass != 0 && done >= 10 && pass != 2
		if d.bypassing {
			d.raw = headerBits{data: s.data, beyond: 0xff} // an encoder may leave out bytes of ones
		} else {
			d.start(s.data)
		}
		for range s.passes {
			if plane < 0 {
				break
			}
			d.pass(pass, plane)
			if style&styleReset != 0 {
				d.reset()
			}
			done++
			if pass++; pass == 3 {
				pass = 0
				plane--
			}
		}
	}
	for y := range d.height {
		for x := range d.width {
			if d.flags[(y+1)*d.stride+x+1]&negative != 0 {
				d.values[y*d.width+x] = -d.values[y*d.width+x]
			}
		}
	}
	return d.values
}

// pass runs one coding pass over the block, in stripes of four rows.
func (d *blockDecoder) pass(kind, plane int) {
	one := int32(2) << plane
	for top := 0; top < d.height; top += 4 {
		bottom := min(top+4, d.height)
		for x := range d.width {
			switch kind {
			case 0:
				d.propagate(x, top, bottom, one)
			case 1:
				d.refine(x, top, bottom, one)
			case 2:
				d.clean(x, top, bottom, one)
			}
		}
	}
	if kind == 2 && d.style&styleSegmentation != 0 {
		for range 4 { // the symbol 1010 marks the end; an error in it could only be noted
			d.mqDecoder.decode(contextUniform)
		}
	}
}

// propagate is the significance propagation pass of one column of a stripe.
func (d *blockDecoder) propagate(x, top, bottom int, one int32) {
	for y := top; y < bottom; y++ {
		at := (y+1)*d.stride + x + 1
		if d.flags[at]&significant != 0 {
			continue
		}
		context := d.significance(at, d.below(y, top))
		if context == 0 {
			continue
		}
		if d.bypassing {
			if d.raw.bit() == 1 {
				d.found(x, y, at, one, uint8(d.raw.bit()))
			}
		} else if d.mqDecoder.decode(context) == 1 {
			d.found(x, y, at, one, d.sign(at, d.below(y, top)))
		}
		d.flags[at] |= visited
	}
}

// refine is the magnitude refinement pass.
func (d *blockDecoder) refine(x, top, bottom int, one int32) {
	for y := top; y < bottom; y++ {
		at := (y+1)*d.stride + x + 1
		if d.flags[at]&(significant|visited) != significant {
			continue
		}
		var bit uint8
		if d.bypassing {
			bit = uint8(d.raw.bit())
		} else {
			context := 16
			if d.flags[at]&refined == 0 {
				context = 14
				if d.significance(at, d.below(y, top)) != 0 {
					context = 15
				}
			}
			bit = d.mqDecoder.decode(context)
		}
		d.flags[at] |= refined
		if n := y*d.width + x; bit == 1 {
			d.values[n] += one >> 1
		} else {
			d.values[n] -= one >> 1
		}
	}
}

// clean is the cleanup pass, with its run-length mode for four insignificant
// coefficients among insignificant neighbours.
func (d *blockDecoder) clean(x, top, bottom int, one int32) {
	y := top
	found := false
	if bottom-top == 4 && d.quiet(x, top) {
		if d.mqDecoder.decode(contextRun) == 0 {
			return
		}
		y += int(d.mqDecoder.decode(contextUniform)) << 1
		y += int(d.mqDecoder.decode(contextUniform))
		found = true
	}
	for ; y < bottom; y++ {
		at := (y+1)*d.stride + x + 1
		if d.flags[at]&(significant|visited) == 0 {
			if found || d.mqDecoder.decode(d.significance(at, d.below(y, top))) == 1 {
				d.found(x, y, at, one, d.sign(at, d.below(y, top)))
			}
		}
		found = false
		d.flags[at] &^= visited
	}
}

// quiet reports whether a column of four has nothing significant in or around
// it and nothing that was coded in this bit plane.
func (d *blockDecoder) quiet(x, top int) bool {
	for y := top; y < top+4; y++ {
		at := (y+1)*d.stride + x + 1
		if d.flags[at]&(significant|visited) != 0 || d.significance(at, d.below(y, top)) != 0 {
			return false
		}
	}
	return true
}

// below is the mask for the flags of the row below y: nothing of the next
// stripe is seen when the block's style says so.
func (d *blockDecoder) below(y, top int) uint8 {
	if d.style&styleCausal != 0 && y == top+3 {
		return 0
	}
	return 0xff
}

func (d *blockDecoder) found(x, y, at int, one int32, sign uint8) {
	d.flags[at] |= significant
	if sign == 1 {
		d.flags[at] |= negative
	}
	d.values[y*d.width+x] = one | one>>1
}

// significance is the context of table D.1, 0 when no neighbour is significant.
func (d *blockDecoder) significance(at int, below uint8) int {
	f, s := d.flags, d.stride
	h := int(f[at-1]&1 + f[at+1]&1)
	v := int(f[at-s]&1 + f[at+s]&below&1)
	diagonal := int(f[at-s-1]&1 + f[at-s+1]&1 + (f[at+s-1]&1+f[at+s+1]&1)&below)
	if h|v|diagonal == 0 {
		return 0
	}
	switch d.kind {
	case 1: // HL
		h, v = v, h
	case 3: // HH
		return diagonalContext(h+v, diagonal)
	}
	switch {
	case h == 2:
		return 8
	case h == 1 && v >= 1:
		return 7
	case h == 1 && diagonal >= 1:
		return 6
	case h == 1:
		return 5
	case v == 2:
		return 4
	case v == 1:
		return 3
	}
	return min(diagonal, 2)
}

func diagonalContext(straight, diagonal int) int {
	switch {
	case diagonal >= 3:
		return 8
	case diagonal == 2:
		return 6 + min(straight, 1)
	case diagonal == 1:
		return 3 + min(straight, 2)
	}
	return min(straight, 2)
}

// sign decodes a coefficient's sign from those of its neighbours (tables D.2, D.3).
func (d *blockDecoder) sign(at int, below uint8) uint8 {
	contribution := func(flags uint8) int {
		return int(flags&significant) * (1 - int(flags&negative))
	}
	f := d.flags
	h := min(max(contribution(f[at-1])+contribution(f[at+1]), -1), 1)
	v := min(max(contribution(f[at-d.stride])+contribution(f[at+d.stride]&below), -1), 1)
	flip := uint8(0)
	if h < 0 || h == 0 && v < 0 {
		h, v, flip = -h, -v, 1
	}
	context := 9 + v // h == 0
	if h == 1 {
		context = 12 + v
	}
	return d.mqDecoder.decode(context) ^ flip
}
