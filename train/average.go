package train

// average moves the averaged weights towards the present ones. An epoch leaves
// Views.Decay of the old average in place, but step t never more than (t-1)/t of
// it: a young run's average is the plain mean over its steps, and the initial
// weights are not in it.
func (t *trainer) average() {
	taken := float64(t.step)
	move := float32(1 - min(t.keep, (taken-1)/taken))
	now, mean := t.net.Params(), t.averaged.Params()
	t.chunks.each(t.pool, func(i, from, to int) {
		target := now[i].Value[from:to]
		for j, old := range mean[i].Value[from:to] {
			mean[i].Value[from+j] = old + float32(move*(target[j]-old))
		}
	})
}
