package train

import (
	"ballast/stat"
)

// A mixture blends every image of a batch with a partner from the same batch.
type mixture struct {
	share    float64 // that an image and its label keep; a float32
	partners []int   // a permutation of the batch
}

// mix blends the images of t.batch, and their covariates, in pairs and returns how, or nil where the plan
// does not mix: x_i becomes λ x_i + (1-λ) x_j with j the partner of i, a random
// permutation, and one λ ~ Beta(alpha, alpha) for the batch. Zhang, Cisse, Dauphin
// and Lopez-Paz, "mixup: beyond empirical risk minimization" (ICLR 2018), as in
// their program. Both come from the stream "mixup" of the batch, counted from 0
// since training began.
func (t *trainer) mix(number int) *mixture {
	alpha := t.plan.Augment.Mixup.Alpha
	if alpha == 0 {
		return nil
	}
	stream := stat.NewStream(t.plan.Seed, "mixup", uint64(number))
	t.mixture.share = float64(float32(stream.Beta(alpha, alpha)))
	t.mixture.partners = stream.PermInto(t.mixture.partners, t.batch.N)
	t.blend(t.batch.Data, t.mixture)
	if t.batch.Covariates != nil {
		t.blend(t.batch.Covariates, t.mixture)
	}
	return &t.mixture
}

// blendSpan is the numbers of an image that a worker blends at a time.
const blendSpan = 4096

// blend changes rows (N, ...) in place. Along each cycle of the permutation only
// the first row is read after it was changed, so only that one is kept.
func (t *trainer) blend(rows []float32, m mixture) {
	partners, size := m.partners, len(rows)/len(m.partners)
	keep, give := float32(m.share), float32(1-m.share)
	t.pool.Run((size+blendSpan-1)/blendSpan, func(span int) {
		var first [blendSpan]float32
		from, to := span*blendSpan, min(size, (span+1)*blendSpan)
		row := func(i int) []float32 { return rows[i*size+from : i*size+to] }
		for start := range partners {
			if !leads(partners, start) {
				continue
			}
			copy(first[:], row(start))
			for i := start; ; i = partners[i] {
				target, other := row(i), first[:to-from]
				if partners[i] != start {
					other = row(partners[i])
				}
				for v, x := range target {
					target[v] = float32(keep*x) + float32(give*other[v])
				}
				if partners[i] == start {
					break
				}
			}
		}
	})
}

// leads reports whether an index is the smallest of its cycle.
func leads(partners []int, index int) bool {
	for i := partners[index]; i != index; i = partners[i] {
		if i < index {
			return false
		}
	}
	return true
}
