// Package stat holds the statistics of ballast: intervals, AUROC, calibration,
// resampling and permutation tests, and the named, counter-based random streams
// from which every random number of the program is drawn.
//
// It imports nothing from the module. Whatever feeds training (streams, the
// elementary functions in portable.go) gives the same bits on every CPU.
package stat
