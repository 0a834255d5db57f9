package main

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"ballast/diagnosis"
)

// A result is one estimate beside its truth: shares in per cent, jitter in points.
type result struct {
	training            int
	kind, phantom       string
	planted             bool
	n                   int
	quantity            string
	estimate, low, high float64
	truth               float64
	told                bool // false: the report says that it cannot tell
}

type results []result

// The quantities beside the sources of the ladder.
const (
	finiteShare    = "finite share of the logged curve, %"
	loggedJitter   = "jitter of n subjects, points"
	infiniteJitter = "jitter of an infinite set, points"
)

// compare diagnoses the training with each of the validation sets.
func (c *course) compare() (results, error) {
	var all results
	for _, size := range sizes {
		for k := range size.sets {
			r, subjects := c.cut(size.n, k)
			report, err := diagnosis.Diagnose(r)
			if err != nil {
				return nil, err
			}
			add := func(quantity string, estimate, low, high diagnosis.Number, truth, scale float64, told bool) {
				all = append(all, result{
					c.study.number, c.study.name, c.study.population.name, c.study.planted, size.n, quantity,
					scale * float64(estimate), scale * float64(low), scale * float64(high), scale * truth, told && estimate.Known(),
				})
			}
			logged := c.truth.expect(0, subjects)
			f := report.Finite
			add(finiteShare, f.Points, f.Low, f.High, logged.finite/logged.total(), 100, f.Decides())
			j := report.Jitter["accuracy"]
			add(loggedJitter, j.Points, j.Low, j.High, 100*math.Sqrt(logged.total()), 1, true)
			j = report.Infinite
			add(infiniteJitter, j.Points, j.Low, j.High, 100*math.Sqrt(logged.model), 1, true)
			shares := c.truth.shares(subjects)
			for _, s := range report.Budget {
				add(s.Source+", %", s.Share, s.Low, s.High, shares[s.Source], 100, s.Decides())
			}
		}
	}
	return all, nil
}

// trivial reports whether a source is absent by construction and found absent:
// views with the same predictions.
func (r *result) trivial() bool {
	return r.estimate == 0 && r.low == 0 && r.high == 0 && r.truth == 0
}

func (r *result) known() bool {
	return !math.IsNaN(r.estimate) && !math.IsNaN(r.low) && !math.IsNaN(r.high) && !math.IsNaN(r.truth)
}

// A summary is how far the estimates of one quantity are from the truth.
type summary struct {
	count, unknown      int     // estimates, and those that have no number
	bias, biasUncertain float64 // mean error, and its standard error over trainings
	err                 float64 // mean absolute error
	covered, uncertain  float64 // share of the intervals that hold the truth, and its standard error over trainings
	width               float64 // median
	untold              float64 // share that reads "cannot tell"
}

// summarise takes the results for which keep is true. The sets of one training share
// its course, so that standard errors are those of a mean over trainings.
func (r results) summarise(keep func(*result) bool) summary {
	var s summary
	var widths []float64
	type sums struct{ count, err, held float64 }
	trainings := map[int]*sums{}
	known := 0.0
	for i := range r {
		x := &r[i]
		if !keep(x) || x.trivial() {
			continue
		}
		s.count++
		if !x.told {
			s.untold++
		}
		if !x.known() {
			s.unknown++
			continue
		}
		own := trainings[x.training]
		if own == nil {
			own = &sums{}
			trainings[x.training] = own
		}
		known++
		own.count++
		own.err += x.estimate - x.truth
		s.bias += x.estimate - x.truth
		s.err += math.Abs(x.estimate - x.truth)
		if x.holds() {
			own.held++
			s.covered++
		}
		widths = append(widths, x.high-x.low)
	}
	s.bias, s.err, s.covered, s.untold = s.bias/known, s.err/known, s.covered/known, s.untold/float64(s.count)
	for _, own := range trainings {
		s.biasUncertain += math.Pow(own.err-s.bias*own.count, 2)
		s.uncertain += math.Pow(own.held-s.covered*own.count, 2)
	}
	m := float64(len(trainings))
	s.biasUncertain, s.uncertain = math.Sqrt(s.biasUncertain*m/(m-1))/known, math.Sqrt(s.uncertain*m/(m-1))/known
	slices.Sort(widths)
	if len(widths) > 0 {
		s.width = widths[len(widths)/2]
	}
	return s
}

// holds reports whether the interval holds the truth, up to rounding.
func (r *result) holds() bool { return r.low-1e-9 <= r.truth && r.truth <= r.high+1e-9 }

func quantities() []string {
	all := []string{finiteShare, infiniteJitter, loggedJitter}
	for _, source := range []string{diagnosis.EvaluationNoise, diagnosis.BatchNormLag, diagnosis.ThresholdFlicker,
		diagnosis.WeightNoise, diagnosis.FiniteValidationSet, diagnosis.RealChange} {
		all = append(all, source+", %")
	}
	return all
}

// short is the Markdown table of the finite share and of the jitter of an infinite
// set over all trainings.
func (r results) short() string {
	var b strings.Builder
	b.WriteString("| n | sets | finite share: bias | mean absolute error | intervals that hold the truth | cannot tell | jitter of an infinite set: bias | mean absolute error | intervals that hold the truth |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, size := range sizes {
		of := func(quantity string) summary {
			return r.summarise(func(x *result) bool { return x.quantity == quantity && x.n == size.n })
		}
		f, j := of(finiteShare), of(infiniteJitter)
		fmt.Fprintf(&b, "| %d | %d | %+.1f ± %.1f | %.1f | %.1f ± %.1f %% | %.0f %% | %+.2f | %.2f | %.1f ± %.1f %% |\n",
			size.n, f.count, f.bias, f.biasUncertain, f.err, 100*f.covered, 100*f.uncertain, 100*f.untold, j.bias, j.err, 100*j.covered, 100*j.uncertain)
	}
	fmt.Fprintf(&b, "\n%d trainings.\n", r.trainings())
	return b.String()
}

func (r results) trainings() int {
	seen := map[int]bool{}
	for _, x := range r {
		seen[x.training] = true
	}
	return len(seen)
}

// table is the Markdown table of all quantities, clean and planted trainings apart.
func (r results) table() string {
	var b strings.Builder
	b.WriteString("| quantity | trainings | n | sets | bias | mean absolute error | 95 % intervals that hold the truth | median width | cannot tell |\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, quantity := range quantities() {
		for _, planted := range []bool{false, true} {
			for _, size := range sizes {
				s := r.summarise(func(x *result) bool { return x.quantity == quantity && x.planted == planted && x.n == size.n })
				if s.count == 0 {
					continue
				}
				group := "clean"
				if planted {
					group = "planted"
				}
				fmt.Fprintf(&b, "| %s | %s | %d | %d | %+.1f | %.1f | %.1f ± %.1f %% | %.1f | %.0f %% |\n",
					quantity, group, size.n, s.count, s.bias, s.err, 100*s.covered, 100*s.uncertain, s.width, 100*s.untold)
			}
		}
	}
	return b.String()
}

// byKind is the Markdown table of the finite share by kind of training.
func (r results) byKind() string {
	var b strings.Builder
	b.WriteString("| training | trainings | sets | mean truth, % | bias | mean absolute error | 95 % intervals that hold the truth | cannot tell |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, kind := range kinds {
		own := results{}
		truth := 0.0
		for _, x := range r {
			if x.kind == kind.name && x.quantity == finiteShare {
				own = append(own, x)
				truth += x.truth
			}
		}
		if len(own) == 0 {
			continue
		}
		s := own.summarise(func(*result) bool { return true })
		fmt.Fprintf(&b, "| %s | %d | %d | %.0f | %+.1f ± %.1f | %.1f | %.1f ± %.1f %% | %.0f %% |\n", kind.name, own.trainings(), s.count,
			truth/float64(len(own)), s.bias, s.biasUncertain, s.err, 100*s.covered, 100*s.uncertain, 100*s.untold)
	}
	return b.String()
}

// write keeps every result in a CSV file.
func (r results) write(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	w := csv.NewWriter(file)
	w.Write([]string{"training", "kind", "phantom", "planted", "n", "quantity", "estimate", "low", "high", "truth", "told"})
	for _, x := range r {
		w.Write([]string{fmt.Sprint(x.training), x.kind, x.phantom, fmt.Sprint(x.planted), fmt.Sprint(x.n), x.quantity,
			fmt.Sprint(x.estimate), fmt.Sprint(x.low), fmt.Sprint(x.high), fmt.Sprint(x.truth), fmt.Sprint(x.told)})
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	return file.Close()
}
