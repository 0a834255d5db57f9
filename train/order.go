package train

import "ballast/stat"

// order is that of the training images in an epoch.
func (t *trainer) order(epoch int) []int {
	return stat.NewStream(t.plan.Seed, "order", uint64(epoch)).Perm(len(t.images.Train.Samples))
}
