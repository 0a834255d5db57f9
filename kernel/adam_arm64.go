//go:build !purego

package kernel

// adamFast does as many elements as assembly can, and returns their number.
func adamFast(r *AdamRates, value, gradient, first, second []float32) int {
	count := len(value) / 8 * 8
	if path == generic || count == 0 {
		return 0
	}
	adamNEON(&r.Decay, &value[0], &gradient[0], &first[0], &second[0], count/8)
	return count
}
