package kernel

// Dense: x (N, features), weight (outputs, features), bias (outputs) -> y (N, outputs).
// Each output starts with the bias and adds the products in the order of features.
func Dense(x, weight, bias []float32, features, outputs int, y []float32) {
	for n := range len(x) / features {
		row := x[n*features:][:features]
		for o := range outputs {
			sum := bias[o]
			for i, w := range weight[o*features:][:features] {
				sum += float32(row[i] * w)
			}
			y[n*outputs+o] = sum
		}
	}
}

// DenseBackward: x (N, features), weight (outputs, features), dy (N, outputs)
// -> dweight, dbias, dx, overwritten; dx may be nil. Sums start at zero and run
// over samples (dweight, dbias) or outputs (dx) in order.
func DenseBackward(x, weight, dy []float32, features, outputs int, dweight, dbias, dx []float32) {
	clear(dweight)
	clear(dbias)
	clear(dx)
	for n := range len(x) / features {
		row := x[n*features:][:features]
		for o := range outputs {
			g := dy[n*outputs+o]
			dbias[o] += g
			addScaled(dweight[o*features:][:features], g, row)
			if dx != nil {
				addScaled(dx[n*features:][:features], g, weight[o*features:])
			}
		}
	}
}

// addScaled adds factor*x to dst.
func addScaled(dst []float32, factor float32, x []float32) {
	for i := range dst {
		dst[i] += float32(factor * x[i])
	}
}
