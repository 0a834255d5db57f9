package codec

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// JPEGLS decodes JPEG-LS (ITU-T T.87 / ISO 14495-1), lossless and near-lossless,
// 2 to 16 bits, one component. Names of variables follow the standard where it
// has short ones: Ra is the sample to the left, Rb above, Rc above left, Rd above
// right; A, B, C, N are a context's sums.
func JPEGLS(data []byte, width, height int) (*Image, error) {
	d := &jpegls{}
	scan, err := d.readHeaders(data)
	if err != nil {
		return nil, err
	}
	if err := checkSize(d.width, d.height, width, height, len(data), bestOther); err != nil {
		return nil, err
	}
	if err := d.prepare(); err != nil {
		return nil, err
	}
	d.data = scan
	if err := d.readScan(); err != nil {
		return nil, err
	}
	return &Image{Width: d.width, Height: d.height, Bits: d.bits, Samples: d.samples}, nil
}

type jpegls struct {
	width, height, bits int
	near                int32    // NEAR: the largest error of a near-lossless sample
	maximum             int32    // MAXVAL
	threshold           [3]int32 // T1, T2, T3 between the classes of a gradient
	reset               int32    // RESET: the count at which a context's sums are halved
	step                int32    // 2 NEAR + 1
	levels              int32    // RANGE: the number of different prediction errors
	levelBits           int      // qbpp: bits of a prediction error
	limit               int      // LIMIT: the longest code word

	contexts [365]lsContext
	runs     [2]lsContext // of the sample that ends a run: RItype 0, 1; b counts negative errors (Nn)
	runIndex int
	samples  []int32

	// The bits of the scan; a byte after 0xff has 7 of them.
	data    []byte
	at      int
	word    uint64
	count   int
	stuffed bool // the last byte was 0xff
	missing bool // bits were used that the data did not hold
}

type lsContext struct{ a, b, c, n int32 }

func (d *jpegls) readHeaders(data []byte) (scan []byte, err error) {
	for first := true; ; first = false {
		code, segment, rest, err := marker(data)
		if err != nil {
			return nil, err
		}
		data = rest
		switch {
		case first && code != 0xd8:
			err = fmt.Errorf("%w: no JPEG start marker", ErrDamaged)
		case code == 0xf7:
			err = d.readFrame(segment)
		case code == 0xf8:
			err = d.readPreset(segment)
		case code == 0xdd:
			err = fmt.Errorf("%w: JPEG-LS with restart markers", ErrUnsupported)
		case code >= 0xc0 && code <= 0xcf && code != 0xc4 && code != 0xc8 && code != 0xcc:
			err = fmt.Errorf("%w: JPEG process SOF%d instead of JPEG-LS", ErrUnsupported, code-0xc0)
		case code == 0xd9:
			err = fmt.Errorf("%w: the JPEG-LS stream holds no picture", ErrTruncated)
		case code == 0xda:
			return data, d.readScanHeader(segment)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (d *jpegls) readFrame(segment []byte) error {
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

// readPreset reads the coding parameters of an LSE segment; 0 means default.
func (d *jpegls) readPreset(segment []byte) error {
	if len(segment) < 11 || segment[0] != 1 {
		return fmt.Errorf("%w: JPEG-LS with mapping tables or large dimensions", ErrUnsupported)
	}
	field := func(n int) int32 { return int32(binary.BigEndian.Uint16(segment[1+2*n:])) }
	d.maximum, d.threshold, d.reset = field(0), [3]int32{field(1), field(2), field(3)}, field(4)
	return nil
}

func (d *jpegls) readScanHeader(segment []byte) error {
	if d.bits == 0 {
		return fmt.Errorf("%w: a scan before the frame header", ErrDamaged)
	}
	if len(segment) < 6 || segment[0] != 1 {
		return fmt.Errorf("%w: a scan header of %d bytes", ErrDamaged, len(segment))
	}
	d.near = int32(segment[3])
	if segment[2] != 0 || segment[5]&15 != 0 {
		return fmt.Errorf("%w: JPEG-LS with mapping tables or a point transform", ErrUnsupported)
	}
	return nil
}

// prepare derives the parameters of T.87 annexes A.2.1 and C.2.4.1.1.
func (d *jpegls) prepare() error {
	if d.maximum == 0 {
		d.maximum = 1<<d.bits - 1
	}
	if d.reset == 0 {
		d.reset = 64
	}
	d.defaultThresholds()
	t := d.threshold
	if d.maximum >= 1<<d.bits || d.near > d.maximum/2 || d.reset < 3 ||
		!(d.near < t[0] && t[0] <= t[1] && t[1] <= t[2] && t[2] <= d.maximum) {
		return fmt.Errorf("%w: JPEG-LS parameters MAXVAL %d, NEAR %d, T %v, RESET %d", ErrDamaged, d.maximum, d.near, t, d.reset)
	}
	d.step = 2*d.near + 1
	d.levels = (d.maximum+2*d.near)/d.step + 1
	d.levelBits = bits.Len32(uint32(d.levels - 1))
	sampleBits := max(2, bits.Len32(uint32(d.maximum)))
	d.limit = 2 * (sampleBits + max(8, sampleBits))
	first := lsContext{a: max(2, (d.levels+32)/64), n: 1}
	for n := range d.contexts {
		d.contexts[n] = first
	}
	d.runs = [2]lsContext{first, first}
	return nil
}

func (d *jpegls) defaultThresholds() {
	clamp := func(value, low int32) int32 {
		if value > d.maximum || value < low {
			return low
		}
		return value
	}
	var t [3]int32
	if d.maximum >= 128 {
		factor := (min(d.maximum, 4095) + 128) / 256
		t = [3]int32{factor*(3-2) + 2 + 3*d.near, factor*(7-3) + 3 + 5*d.near, factor*(21-4) + 4 + 7*d.near}
	} else {
		factor := 256 / (d.maximum + 1)
		t = [3]int32{max(2, 3/factor+3*d.near), max(3, 7/factor+5*d.near), max(4, 21/factor+7*d.near)}
	}
	low := d.near + 1
	for n := range d.threshold {
		if d.threshold[n] == 0 {
			d.threshold[n] = clamp(t[n], low)
		}
		low = d.threshold[n]
	}
}

// read returns the next n <= 32 bits.
func (d *jpegls) read(n int) uint32 {
	for d.count < n {
		switch {
		case d.at >= len(d.data), d.stuffed && d.data[d.at] >= 0x80: // the end, or a marker
			d.missing = true
			d.word <<= 8
			d.count += 8
		case d.stuffed:
			d.stuffed = false
			d.word = d.word<<7 | uint64(d.data[d.at])
			d.count += 7
			d.at++
		default:
			d.word = d.word<<8 | uint64(d.data[d.at])
			d.count += 8
			d.stuffed = d.data[d.at] == 0xff
			d.at++
		}
	}
	d.count -= n
	return uint32(d.word>>d.count) & (1<<n - 1)
}

// golomb reads a Golomb-Rice code with parameter k of at most limit bits (T.87
// annex A.5.3).
func (d *jpegls) golomb(k, limit int) int32 {
	zeros := 0
	for d.read(1) == 0 {
		if zeros++; zeros >= limit || d.missing {
			break
		}
	}
	if zeros < limit-d.levelBits-1 {
		return int32(zeros)<<k | int32(d.read(k))
	}
	return int32(d.read(d.levelBits)) + 1
}

// golombParameter is the least k with n 2^k >= a.
func golombParameter(n, a int32) (k int) {
	for k < 31 && int64(n)<<k < int64(a) {
		k++
	}
	return k
}

func (d *jpegls) readScan() error {
	d.samples = make([]int32, 0, d.width*d.height)
	above, row := make([]int32, d.width+2), make([]int32, d.width+2) // with one sample before and one after
	for y := range d.height {
		row[0] = above[1]
		above[d.width+1] = above[d.width]
		d.readRow(above, row)
		if d.missing {
			return fmt.Errorf("%w: the JPEG-LS data end in row %d of %d", ErrTruncated, y+1, d.height)
		}
		d.samples = append(d.samples, row[1:d.width+1]...)
		above, row = row, above
	}
	return nil
}

// readRow decodes row[1:width+1]; row[0] stands for the sample before the first.
func (d *jpegls) readRow(above, row []int32) {
	for x := 1; x <= d.width && !d.missing; {
		ra, rb, rc, rd := row[x-1], above[x], above[x-1], above[x+1]
		g1, g2, g3 := d.class(rd-rb), d.class(rb-rc), d.class(rc-ra)
		if g1 != 0 || g2 != 0 || g3 != 0 {
			row[x] = d.regular(g1*81+g2*9+g3, median(ra, rb, rc))
			x++
			continue
		}
		end := d.run(row, x)
		if end <= d.width {
			row[end] = d.runEnd(row[end-1], above[end])
			d.runIndex = max(d.runIndex-1, 0)
			end++
		}
		x = end
	}
}

// class is the class -4..4 of a local gradient.
func (d *jpegls) class(gradient int32) int32 {
	sign := int32(1)
	if gradient < 0 {
		sign, gradient = -1, -gradient
	}
	switch {
	case gradient <= d.near:
		return 0
	case gradient < d.threshold[0]:
		return sign
	case gradient < d.threshold[1]:
		return 2 * sign
	case gradient < d.threshold[2]:
		return 3 * sign
	}
	return 4 * sign
}

// median is the median of a, b and a + b - c: the edge-detecting prediction.
func median(a, b, c int32) int32 {
	if c >= max(a, b) {
		return min(a, b)
	}
	if c <= min(a, b) {
		return max(a, b)
	}
	return a + b - c
}

// regular decodes one sample outside runs (T.87 annexes A.4 to A.6).
func (d *jpegls) regular(class, predicted int32) int32 {
	sign := int32(1)
	if class < 0 {
		sign, class = -1, -class
	}
	context := &d.contexts[class]
	predicted = min(max(predicted+sign*context.c, 0), d.maximum)
	k := golombParameter(context.n, context.a)
	mapped := d.golomb(k, d.limit)
	error := mapped >> 1
	if mapped&1 == 1 {
		error = -error - 1
	}
	if d.near == 0 && k == 0 && 2*context.b <= -context.n {
		error = -error - 1
	}
	d.update(context, error)
	return d.reconstruct(predicted, sign*error)
}

// update is T.87 annex A.6: the context's sums and its bias correction c.
func (d *jpegls) update(context *lsContext, error int32) {
	context.b += error * d.step
	context.a += max(error, -error)
	if context.n == d.reset {
		context.a >>= 1
		if context.b >= 0 {
			context.b >>= 1
		} else {
			context.b = -((1 - context.b) >> 1)
		}
		context.n >>= 1
	}
	context.n++
	if context.b <= -context.n {
		context.b = max(context.b+context.n, 1-context.n)
		context.c = max(context.c-1, -128)
	} else if context.b > 0 {
		context.b = min(context.b-context.n, 0)
		context.c = min(context.c+1, 127)
	}
}

// reconstruct adds a prediction error, modulo RANGE.
func (d *jpegls) reconstruct(predicted, error int32) int32 {
	value := predicted + error*d.step
	if value < -d.near {
		value += d.levels * d.step
	} else if value > d.maximum+d.near {
		value -= d.levels * d.step
	}
	return min(max(value, 0), d.maximum)
}

// runBits is table J: a run of 2^J samples takes one bit.
var runBits = [32]int{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// run repeats the sample before x (T.87 annex A.7.1) and returns the column
// after the run, width + 1 when it fills the row.
func (d *jpegls) run(row []int32, x int) int {
	value := row[x-1]
	for x <= d.width {
		length, whole := 1<<runBits[d.runIndex], d.read(1) == 1
		if !whole {
			length = int(d.read(runBits[d.runIndex]))
		}
		left := d.width + 1 - x
		for range min(length, left) {
			row[x] = value
			x++
		}
		if !whole || d.missing {
			break
		}
		if length <= left {
			d.runIndex = min(d.runIndex+1, 31)
		}
	}
	return x
}

// runEnd decodes the sample that ends a run (T.87 annex A.7.2).
func (d *jpegls) runEnd(ra, rb int32) int32 {
	kind, predicted, sign := 0, rb, int32(1)
	if max(ra-rb, rb-ra) <= d.near {
		kind, predicted = 1, ra
	} else if ra > rb {
		sign = -1
	}
	context := &d.runs[kind]
	sum := context.a
	if kind == 1 {
		sum += context.n >> 1
	}
	k := golombParameter(context.n, sum)
	mapped := d.golomb(k, d.limit-runBits[d.runIndex]-1)
	doubled := mapped + int32(kind)
	error := (doubled + 1) >> 1
	if (k != 0 || 2*context.b >= context.n) == (doubled&1 == 1) {
		error = -error
	}
	if error < 0 {
		context.b++
	}
	context.a += (mapped + 1 - int32(kind)) >> 1
	if context.n == d.reset {
		context.a >>= 1
		context.n >>= 1
		context.b >>= 1
	}
	context.n++
	return d.reconstruct(predicted, sign*error)
}
