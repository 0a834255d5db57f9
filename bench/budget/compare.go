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
	count, unknown          int
	bias, err, root         float64 // mean error, mean absolute error, root mean square error
	covered, uncertain      float64 // share of the intervals that hold the truth, and its standard error over trainings
	width                   float64 // median
	untold                  float64 // share that reads "cannot tell"
	trainings               int
	biasUncertain, narrowly float64
}

// summarise takes the results for which keep is true.
func (r results) summarise(keep func(*result) bool) summary {
	var s summary
	var widths []float64
	held := map[int][2]float64{} // by training: intervals, and those that hold the truth
	errs := map[int][2]float64{}
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
		s.bias += x.estimate - x.truth
		s.err += math.Abs(x.estimate - x.truth)
		s.root += (x.estimate - x.truth) * (x.estimate - x.truth)
		widths = append(widths, x.high-x.low)
		h := held[x.training]
		h[0]++
		// The ends are computed in other ways than the truth, to rounding.
		if x.low-1e-9 <= x.truth && x.truth <= x.high+1e-9 {
			h[1]++
			s.covered++
		}
		held[x.training] = h
		e := errs[x.training]
		errs[x.training] = [2]float64{e[0] + 1, e[1] + x.estimate - x.truth}
	}
	known := float64(s.count - s.unknown)
	s.bias, s.err, s.root, s.covered = s.bias/known, s.err/known, math.Sqrt(s.root/known), s.covered/known
	s.untold /= float64(s.count)
	for _, h := range held {
		d := h[1] - s.covered*h[0]
		s.uncertain += d * d
	}
	for _, e := range errs {
		d := e[1] - s.bias*e[0]
		s.biasUncertain += d * d
	}
	s.trainings = len(held)
	m := float64(s.trainings)
	s.uncertain = math.Sqrt(s.uncertain*m/(m-1)) / known
	s.biasUncertain = math.Sqrt(s.biasUncertain*m/(m-1)) / known
	slices.Sort(widths)
	if len(widths) > 0 {
		s.width = widths[len(widths)/2]
	}
	return s
}

func quantities() []string {
	all := []string{finiteShare, infiniteJitter, loggedJitter}
	for _, source := range []string{diagnosis.EvaluationNoise, diagnosis.BatchNormLag, diagnosis.ThresholdFlicker,
		diagnosis.WeightNoise, diagnosis.FiniteValidationSet, diagnosis.RealChange} {
		all = append(all, source+", %")
	}
	return all
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
