package kernel

// The inner loops of convolution in Go. They state what every faster
// implementation must compute, bit for bit.

// A tap is a pair of offsets into the two operands of an inner loop.
type tap struct{ a, b int }

// A tapList gathers taps on the stack. Its length bounds the time of one call
// of an inner loop, during which the garbage collector cannot stop the thread.
type tapList struct {
	taps  [64]tap
	count int
}

func (l *tapList) full() bool { return l.count == len(l.taps) }

func (l *tapList) add(a, b int) {
	l.taps[l.count] = tap{a, b}
	l.count++
}

// take returns the taps gathered so far and empties the list.
func (l *tapList) take() []tap {
	taps := l.taps[:l.count]
	l.count = 0
	return taps
}

// accumulateRowGo adds to each of the voxels t and lanes o
//
//	dst[t*dstStride + o] += sum over taps, j < depth of x[a + t*xStride + j] * weight[b + j*16 + o]
//
// in the order of taps, then j. Two voxels by four lanes are summed at a time
// in registers.
func accumulateRowGo(dst, x, weight []float32, taps []tap, voxels, dstStride, xStride, depth int) {
	t := 0
	for ; t+1 < voxels; t += 2 {
		for o := 0; o < Lanes; o += 4 {
			twoVoxels(dst[t*dstStride+o:], dst[(t+1)*dstStride+o:], x[t*xStride:], weight[o:], taps, xStride, depth)
		}
	}
	if t < voxels {
		for o := 0; o < Lanes; o += 4 {
			oneVoxel(dst[t*dstStride+o:], x[t*xStride:], weight[o:], taps, depth)
		}
	}
}

func twoVoxels(dst0, dst1, x, weight []float32, taps []tap, xStride, depth int) {
	sum0, sum1 := (*[4]float32)(dst0), (*[4]float32)(dst1)
	a0, a1, a2, a3 := sum0[0], sum0[1], sum0[2], sum0[3]
	b0, b1, b2, b3 := sum1[0], sum1[1], sum1[2], sum1[3]
	for _, tap := range taps {
		x0 := x[tap.a:][:depth]
		x1 := x[tap.a+xStride:][:depth]
		w := weight[tap.b:]
		for j, u := range x0 {
			v := x1[j]
			k := (*[4]float32)(w[j*Lanes:])
			a0 += float32(u * k[0])
			b0 += float32(v * k[0])
			a1 += float32(u * k[1])
			b1 += float32(v * k[1])
			a2 += float32(u * k[2])
			b2 += float32(v * k[2])
			a3 += float32(u * k[3])
			b3 += float32(v * k[3])
		}
	}
	*sum0 = [4]float32{a0, a1, a2, a3}
	*sum1 = [4]float32{b0, b1, b2, b3}
}

func oneVoxel(dst, x, weight []float32, taps []tap, depth int) {
	sum := (*[4]float32)(dst)
	a0, a1, a2, a3 := sum[0], sum[1], sum[2], sum[3]
	for _, tap := range taps {
		w := weight[tap.b:]
		for j, u := range x[tap.a:][:depth] {
			k := (*[4]float32)(w[j*Lanes:])
			a0 += float32(u * k[0])
			a1 += float32(u * k[1])
			a2 += float32(u * k[2])
			a3 += float32(u * k[3])
		}
	}
	*sum = [4]float32{a0, a1, a2, a3}
}

// accumulateOuterGo adds to each element j < depth and lane o
//
//	dst[j*16 + o] += sum over taps, t < voxels of x[a + t*xStride + j] * y[b + t*16 + o]
//
// in the order of taps, then t. Two elements by four lanes are summed at a
// time in registers.
func accumulateOuterGo(dst, x, y []float32, taps []tap, voxels, xStride, depth int) {
	j := 0
	for ; j+1 < depth; j += 2 {
		for o := 0; o < Lanes; o += 4 {
			twoElements(dst[j*Lanes+o:], x[j:], y[o:], taps, voxels, xStride)
		}
	}
	if j < depth {
		for o := 0; o < Lanes; o += 4 {
			oneElement(dst[j*Lanes+o:], x[j:], y[o:], taps, voxels, xStride)
		}
	}
}

func twoElements(dst, x, y []float32, taps []tap, voxels, xStride int) {
	sum0, sum1 := (*[4]float32)(dst), (*[4]float32)(dst[Lanes:])
	a0, a1, a2, a3 := sum0[0], sum0[1], sum0[2], sum0[3]
	b0, b1, b2, b3 := sum1[0], sum1[1], sum1[2], sum1[3]
	for _, tap := range taps {
		xs, ys := x[tap.a:], y[tap.b:]
		for t := range voxels {
			pair := (*[2]float32)(xs[t*xStride:])
			k := (*[4]float32)(ys[t*Lanes:])
			u, v := pair[0], pair[1]
			a0 += float32(u * k[0])
			b0 += float32(v * k[0])
			a1 += float32(u * k[1])
			b1 += float32(v * k[1])
			a2 += float32(u * k[2])
			b2 += float32(v * k[2])
			a3 += float32(u * k[3])
			b3 += float32(v * k[3])
		}
	}
	*sum0 = [4]float32{a0, a1, a2, a3}
	*sum1 = [4]float32{b0, b1, b2, b3}
}

func oneElement(dst, x, y []float32, taps []tap, voxels, xStride int) {
	sum := (*[4]float32)(dst)
	a0, a1, a2, a3 := sum[0], sum[1], sum[2], sum[3]
	for _, tap := range taps {
		xs, ys := x[tap.a:], y[tap.b:]
		for t := range voxels {
			u := xs[t*xStride]
			k := (*[4]float32)(ys[t*Lanes:])
			a0 += float32(u * k[0])
			a1 += float32(u * k[1])
			a2 += float32(u * k[2])
			a3 += float32(u * k[3])
		}
	}
	*sum = [4]float32{a0, a1, a2, a3}
}
