// Package net builds, runs and stores the networks of ballast: small
// convolutional classifiers of 2D and 3D images, forward and backward, on the
// kernels of package kernel.
//
// Everything a network computes has the same bits on every CPU and for any
// number of workers; see package kernel for the rules.
package net
