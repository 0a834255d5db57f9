// Package engine measures how fast the kernels train and apply reference
// networks on this machine, as a fraction of the peak of its arithmetic units.
//
// FLOPs are nominal: the additions and multiplications of a convolution with
// every position of its padding counted, forward, backward to the data (but in
// the first layer) and backward to the weights. The kernels skip the padding
// along depth and height, so the nominal rate of small images may pass the
// peak. The peak is that of the instruction set in use (kernel.Path), measured
// by loops of fused multiply-adds on registers between the samples.
//
// Samples of a network on all threads, on one thread and of the peak take turns,
// and medians are reported, so that a machine that slows down for a while slows
// down everything that is compared.
package engine
