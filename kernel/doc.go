// Package kernel computes the layers of a small convolutional network in
// float32 on the CPU: convolution, batch and group normalisation, ReLU and leaky
// ReLU, pooling, dense layers and dropout, forward and backward, in two and three
// dimensions.
//
// # Layout
//
// Activations are stored N-block-D-H-W-lane: channels in blocks of 16 lanes, so
// that a vector register holds the channels of one voxel. Channels beyond the
// last are zero. Fewer than 16 input channels may be stored in one block of
// that many lanes (one channel is then plain N-D-H-W). Every row may have a
// halo of zeros left and right, the padding of the convolution that reads it.
// A 2D image has D = 1. Shape says where an element lies.
//
// Weights of a convolution are stored [out block][in block][kd][kh][kw][in
// lane][16 out lanes], the master copy included.
//
// # Arithmetic
//
// All results have the same bits for any number of workers, on every CPU and
// for every implementation of a kernel:
//
//   - the products of a convolution are fused with their addition: each step
//     of a sum is rounded once, as by the FMA instruction; the Go form emulates it
//     exactly (fma.go). Everywhere else a product is rounded before it is added;
//   - every output is summed in one order, stated at its function;
//   - statistics over voxels are summed in float64, per chunk or sample in row
//     order, and these sums are added in order;
//   - no kernel skips a product because a factor is zero, so NaN and Inf
//     propagate. Only the positions outside the volume along depth and height
//     are left out; along the width they are zeros in the halo, which are
//     multiplied. Which NaN it is, is not defined.
//
// # Layers run together
//
// The largest tensors of a small network belong to its first layers, and to
// write and read them takes longer than to compute them. A PoolTail therefore
// pools, and measures for batch normalisation, while the rows of a convolution
// are in the cache, and computes the first convolution again on the way back
// rather than keep what it gave.
//
// # Implementations
//
// The functions whose names end in Go state what is computed and run on every
// CPU. On amd64 the inner loops also exist in AVX2 and AVX-512 assembly, written
// by the program in _gen, and the best that the CPU has is chosen; BALLAST_CPU
// forces one (generic, avx2, avx512), the build tag purego leaves assembly out.
// On arm64 they exist in NEON assembly (neon), written by the program in
// _gen/arm64.
//
// One call of assembly is kept below some 100 µs, because the garbage collector
// cannot stop a thread within it. A pass over tensors allocates nothing once it
// has run.
package kernel
