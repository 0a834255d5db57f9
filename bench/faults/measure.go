package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"ballast/diagnosis"
	"ballast/stat"
)

// rank is the place of a cause among the findings that are possible or surer, from 1;
// 0 where it is not among them.
func rank(claims []claim, id string) int {
	for i, c := range claims {
		if c.leans() && c.id == id {
			return i + 1
		}
	}
	return 0
}

// verdict is what was said of a cause; cannot-tell where nothing was.
func verdict(claims []claim, id string) string {
	for _, c := range claims {
		if c.id == id {
			return c.verdict
		}
	}
	return diagnosis.CannotTell
}

// false lists the claims of a verdict that are not true of a run.
func (o *outcome) falseClaims(claims []claim, wanted string) (ids []string) {
	for _, c := range claims {
		if c.verdict == wanted && !slices.Contains(o.truth, c.id) {
			ids = append(ids, c.id)
		}
	}
	return ids
}

// A rate is a count of runs with its interval.
type rate struct {
	hits, runs int
	low, high  float64 // 95 %
}

// rateOf counts outcomes. Runs of one seed share a cohort, and those that differ in
// nothing but the validation set a training, so they are no independent trials: the
// interval is Wilson's with as many trials as the variance between seeds allows,
// n' = n / max(1, deff), deff = variance of the seeds' rates over that of as many
// independent trials (Kish, "Survey Sampling", 1965).
func rateOf(outcomes []*outcome, hit func(*outcome) bool) rate {
	type cluster struct{ hits, runs float64 }
	clusters := map[uint64]*cluster{}
	var r rate
	for _, o := range outcomes {
		c := clusters[o.seed]
		if c == nil {
			c = &cluster{}
			clusters[o.seed] = c
		}
		c.runs++
		r.runs++
		if hit(o) {
			c.hits++
			r.hits++
		}
	}
	if r.runs == 0 {
		return rate{low: math.NaN(), high: math.NaN()}
	}
	p, n, m := float64(r.hits)/float64(r.runs), float64(r.runs), float64(len(clusters))
	effect := 1.0
	if p > 0 && p < 1 && m > 1 {
		between := 0.0
		for _, c := range clusters {
			between += square(c.hits - p*c.runs)
		}
		effect = math.Max(1, m/(m-1)*between/square(n)/(p*(1-p)/n))
	}
	r.low, r.high = stat.Wilson(p*n/effect, n/effect, 0.95)
	return r
}

func (r rate) share() float64 { return float64(r.hits) / float64(r.runs) }

// text is the rate in per cent with its interval.
func (r rate) text() string {
	if r.runs == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %% (%.0f-%.0f)", 100*r.share(), 100*r.low, 100*r.high)
}

// A mean is a number of claims per run with its 95 % interval over seeds.
type mean struct{ value, low, high float64 }

// meanOf averages a count over runs. The interval is Student's over the means of the
// seeds; where no run has any, the upper end is 3 / runs (the rule of three).
func meanOf(outcomes []*outcome, count func(*outcome) int) mean {
	sums, runs := map[uint64]float64{}, map[uint64]float64{}
	total := 0.0
	for _, o := range outcomes {
		x := float64(count(o))
		sums[o.seed] += x
		runs[o.seed]++
		total += x
	}
	n, k := float64(len(outcomes)), float64(len(sums))
	if n == 0 {
		return mean{math.NaN(), math.NaN(), math.NaN()}
	}
	if total == 0 {
		return mean{0, 0, 3 / n}
	}
	value, variance := total/n, 0.0
	for seed, sum := range sums {
		variance += square(sum-value*runs[seed]) / square(n)
	}
	half := math.NaN()
	if k > 1 {
		half = stat.StudentQuantile(0.975, k-1) * math.Sqrt(variance*k/(k-1))
	}
	return mean{value, math.Max(0, value-half), value + half}
}

func (m mean) text() string {
	if math.IsNaN(m.value) {
		return "-"
	}
	return fmt.Sprintf("%.3f (%.3f-%.3f)", m.value, m.low, m.high)
}

// filter keeps the outcomes that are wanted.
func filter(outcomes []outcome, keep func(*outcome) bool) (kept []*outcome) {
	for i := range outcomes {
		if keep(&outcomes[i]) {
			kept = append(kept, &outcomes[i])
		}
	}
	return kept
}

// A mode is how runs were diagnosed.
type mode struct {
	name   string
	claims func(*outcome) []claim
}

var (
	fromRecord = mode{"record alone", func(o *outcome) []claim { return o.alone }}
	withProbes = mode{"with experiments", func(o *outcome) []claim { return o.probed }}
)

// among reports whether the planted cause is one of the first so many findings.
func (m mode) among(first int) func(*outcome) bool {
	return func(o *outcome) bool {
		place := rank(m.claims(o), o.planted)
		return place > 0 && place <= first
	}
}

// planted lists the causes that were planted, in alphabetical order.
func plantedCauses(outcomes []outcome) []string {
	var ids []string
	for i := range outcomes {
		if id := outcomes[i].planted; id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// summary is what development looks at.
func summary(outcomes []outcome) string {
	var b strings.Builder
	for _, m := range []mode{fromRecord, withProbes} {
		made := filter(outcomes, func(o *outcome) bool { return m.claims(o) != nil })
		if len(made) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s: %d runs\n", m.name, len(made))
		var faulty, controls []*outcome
		for _, o := range made {
			if o.planted == "" {
				controls = append(controls, o)
			} else {
				faulty = append(faulty, o)
			}
		}
		for _, id := range plantedCauses(outcomes) {
			var own []*outcome
			for _, o := range faulty {
				if o.planted == id {
					own = append(own, o)
				}
			}
			if len(own) > 0 {
				fmt.Fprintf(&b, "  %-32s first %-16s first or second %-16s %s; instead: %s\n", id, rateOf(own, m.among(1)).text(), rateOf(own, m.among(2)).text(),
					verdictCounts(own, m), firstNames(own, m))
			}
		}
		fmt.Fprintf(&b, "  all faults: first %s, first or second %s\n", rateOf(faulty, m.among(1)).text(), rateOf(faulty, m.among(2)).text())
		for _, v := range []string{diagnosis.Confirmed, diagnosis.Likely} {
			for name, group := range map[string][]*outcome{"clean": controls, "faulty": faulty} {
				counts := map[string]int{}
				for _, o := range group {
					if o.judged {
						for _, id := range o.falseClaims(m.claims(o), v) {
							counts[id]++
						}
					}
				}
				fmt.Fprintf(&b, "  false %s per %s run: %s: %s\n", v, name, meanOf(group, func(o *outcome) int { return len(o.falseClaims(m.claims(o), v)) }).text(), listed(counts))
			}
		}
	}
	return b.String()
}

// verdictCounts says how often each verdict was given on the planted cause.
func verdictCounts(own []*outcome, m mode) string {
	counts := map[string]int{}
	for _, o := range own {
		counts[verdict(m.claims(o), o.planted)]++
	}
	return listed(counts)
}

// firstNames says what was named first where that was not the planted cause.
func firstNames(own []*outcome, m mode) string {
	counts := map[string]int{}
	for _, o := range own {
		if first := firstNamed(m.claims(o)); first != o.planted {
			counts[first]++
		}
	}
	return listed(counts)
}

// nothing stands for a run of which no cause is possible or surer.
const nothing = "nothing"

func firstNamed(claims []claim) string {
	if len(claims) > 0 && claims[0].leans() {
		return claims[0].id
	}
	return nothing
}

// ordered lists the names of counts, the largest first.
func ordered(counts map[string]int) []string {
	names := slices.Collect(maps.Keys(counts))
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	return names
}

// listed writes counts, the largest first.
func listed(counts map[string]int) string {
	names := ordered(counts)
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, counts[name])
	}
	return strings.Join(names, ", ")
}
