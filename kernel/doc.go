// Package kernel computes the layers of a small convolutional network in
// float32 on the CPU: convolution, batch normalisation, ReLU, pooling, dense
// layers and dropout, forward and backward, in two and three dimensions.
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
//   - every product is rounded to float32 before it is added (no fused
//     multiply-add);
//   - every output is summed in one order, stated at its function;
//   - statistics over voxels are summed in float64, per sample in row order,
//     and the samples' sums are added in order;
//   - no kernel skips a product because a factor is zero, so NaN and Inf
//     propagate. Only the positions outside the volume along depth and height
//     are left out; along the width they are zeros in the halo, which are
//     multiplied.
//
// # Implementations
//
// The functions whose names end in Go state what is computed and run on every
// CPU. On amd64 the inner loops also exist in AVX2 and AVX-512 assembly, written
// by the program in _gen, and the best that the CPU has is chosen; BALLAST_CPU
// forces one (generic, avx2, avx512), the build tag purego leaves assembly out.
// On arm64 they exist in NEON assembly (neon), written by the program in
// _gen/arm64.
// One call of assembly is kept below some 100 µs, because the garbage collector
// cannot stop a thread within it.
package kernel
