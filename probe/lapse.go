package probe

import (
	"cmp"
	"math"
	"slices"

	"ballast/run"
	"ballast/stat"
)

const (
	lapseSteps = 50     // shares of wrong labels that are tried: 0, 0.01 to 0.49
	lapseDraws = 500    // cohorts without wrong labels
	lapseBound = 3.8415 // 95th percentile of chi-square with one degree of freedom
)

// lapseDistances are the distances of the classes that are tried.
func lapseDistances() []float64 {
	var all []float64
	for k := 1; k <= 30; k++ {
		all = append(all, float64(k)/10)
	}
	for k := 13; k <= 28; k++ {
		all = append(all, float64(k)/4)
	}
	return all
}

// A lapseModel says how often the class predicted is the label, for subjects in the
// order of their margins: with a share λ of labels exchanged for one of the K-1
// others, on a task whose classes lie a distance d apart (see cleanTask),
//
//	P(right | rank) = (1-λ) g_d(rank) + λ (1 - g_d(rank)) / (K-1)
//
// where g_d(rank) is the probability of the class predicted to a subject of that rank.
// It is the psychometric function with a lapse rate (Wichmann and Hill, "The
// psychometric function: I. Fitting, sampling, and goodness of fit", Perception &
// Psychophysics 63, 2001), read along the binormal model of ROC analysis, which a
// monotone transformation of the margins leaves as it is (Metz and Pan, "Proper
// binormal ROC curves", Journal of Mathematical Psychology 43, 1999). A hard task, a small d, makes
// mistakes near the threshold and few where the margin is large; λ makes as many there.
type lapseModel struct {
	right     [][]float64 // log(P / (1-P)) for each pair of d and λ, d outermost, by rank
	none      []float64   // sum over ranks of log(1-P) for each pair
	chance    [][]float64 // g for each d, by rank, the smallest margin first
	distances []float64
}

// newLapseModel simulates tasks in which the classes are as common as among the
// labels.
func newLapseModel(labels []int, classes int, seed uint64) *lapseModel {
	m := &lapseModel{distances: lapseDistances()}
	simulated := make([]int, simulatedSubjects)
	for i := range simulated {
		simulated[i] = labels[i*len(labels)/simulatedSubjects]
	}
	shares := make([]float64, classes)
	for _, label := range labels {
		shares[label] += 1 / float64(len(labels))
	}
	noise := (&cleanTask{classes: classes}).noise(simulatedSubjects, seed, 0)
	for _, d := range m.distances {
		task := &cleanTask{classes: classes, d: d, shares: shares}
		g := task.predict(simulated, noise).chance(len(labels))
		m.chance = append(m.chance, g)
		for step := range lapseSteps {
			m.add(g, lapseShare(step), classes)
		}
	}
	return m
}

func lapseShare(step int) float64 { return float64(step) / 100 }

// add puts in the logarithms of a pair of d, by its g, and λ.
func (m *lapseModel) add(g []float64, lapse float64, classes int) {
	odds, none := make([]float64, len(g)), 0.0
	for rank, x := range g {
		p := float64((1-lapse)*x) + float64(lapse*(1-x))/float64(classes-1)
		no := stat.Log(1 - p)
		odds[rank] = stat.Log(p) - no
		none += no
	}
	m.right, m.none = append(m.right, odds), append(m.none, none)
}

// chance is the mean probability of the class predicted in as many groups as asked
// for, from the smallest margins to the largest. It is kept below one, since a
// single mistake would else have no likelihood.
func (p predictions) chance(groups int) []float64 {
	type sure struct{ margin, top float64 }
	all := make([]sure, len(p))
	for i, row := range p {
		all[i] = sure{row.margin(), row[row.class()]}
	}
	slices.SortStableFunc(all, func(a, b sure) int { return cmp.Compare(a.margin, b.margin) })
	g := make([]float64, groups)
	for k := range g {
		from, to := k*len(all)/groups, (k+1)*len(all)/groups
		for _, s := range all[from:to] {
			g[k] += s.top / float64(to-from)
		}
		g[k] = math.Min(g[k], 1-1e-9)
	}
	return g
}

// A lapseFit is the most likely share of wrong labels.
type lapseFit struct {
	share, low, high float64 // with the 95 % interval by the profile likelihood
	ratio            float64 // twice the logarithm of the likelihood ratio to no wrong labels
	clean            int     // number of the most likely d without wrong labels
}

// fit takes the ranks of the subjects that are predicted as labelled.
func (m *lapseModel) fit(right []int) lapseFit {
	profile, clean := make([]float64, lapseSteps), 0
	for step := range profile {
		profile[step] = math.Inf(-1)
	}
	for k := range m.distances {
		for step := range lapseSteps {
			pair := k*lapseSteps + step
			likelihood := m.none[pair]
			odds := m.right[pair]
			for _, rank := range right {
				likelihood += odds[rank]
			}
			if likelihood > profile[step] {
				profile[step] = likelihood
				if step == 0 {
					clean = k
				}
			}
		}
	}
	return newLapseFit(profile, clean)
}

// newLapseFit reads a fit from the largest likelihoods for each share.
func newLapseFit(profile []float64, clean int) lapseFit {
	best := 0
	for step, likelihood := range profile {
		if likelihood > profile[best] {
			best = step
		}
	}
	f := lapseFit{share: lapseShare(best), ratio: 2 * (profile[best] - profile[0]), clean: clean, low: math.NaN()}
	for step, likelihood := range profile {
		if 2*(profile[best]-likelihood) > lapseBound {
			continue
		}
		if math.IsNaN(f.low) {
			f.low = lapseShare(step)
		}
		f.high = lapseShare(step)
	}
	return f
}

// p is the share of simulated cohorts without wrong labels, on the most likely clean
// task, whose likelihood ratio is as large: the parametric bootstrap, since the
// ratio's distribution on the boundary λ = 0 is no plain chi-square.
func (m *lapseModel) p(f lapseFit, seed uint64) float64 {
	as, right := 1, make([]int, 0, len(m.chance[0]))
	for draw := range lapseDraws {
		stream := stat.NewStream(seed, "probe/label-noise/lapse", uint64(draw))
		right = right[:0]
		for rank, chance := range m.chance[f.clean] {
			if stream.Float64() < chance {
				right = append(right, rank)
			}
		}
		if m.fit(right).ratio >= f.ratio {
			as++
		}
	}
	return float64(as) / float64(lapseDraws+1)
}

// lapse puts the share of wrong labels by the lapse model into values.
func (p predictions) lapse(values map[string]run.Float, labels []int, seed uint64) {
	m := newLapseModel(labels, len(p[0]), seed)
	f := m.fit(p.rightByMargin(labels))
	values["lapse"], values["lapse_low"], values["lapse_high"] = run.Float(f.share), run.Float(f.low), run.Float(f.high)
	values["p_lapse"] = run.Float(m.p(f, seed))
}

// rightByMargin returns the ranks of the subjects that are predicted as labelled,
// the smallest margin being the first.
func (p predictions) rightByMargin(labels []int) (right []int) {
	order := all(len(p))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a].margin(), p[b].margin()) })
	for rank, i := range order {
		if p[i].class() == labels[i] {
			right = append(right, rank)
		}
	}
	return right
}
