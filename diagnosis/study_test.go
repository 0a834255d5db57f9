package diagnosis

import (
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ballast/run"
	"ballast/stat"
)

var study = flag.String("study", "", `run the whole simulation study: "develop" prints its tables on the development seeds, "evaluate" writes those of the evaluation seeds into docs/budget.md, "evaluate-estimates" and "evaluate-verdicts" a part of them`)

// The seeds on which methods and constants were chosen, and those on which
// they are measured.
const (
	developmentSeeds = 0
	evaluationSeeds  = 1_000_000
)

// within draws evenly between two bounds.
func within(s *stat.Stream, low, high float64) float64 { return low + (high-low)*s.Float64() }

// maybe draws within the bounds with the given probability, and is else zero.
func maybe(s *stat.Stream, probability, low, high float64) float64 {
	x := within(s, low, high)
	if s.Float64() < probability {
		return x
	}
	return 0
}

// anyScenario draws a run with any mixture of causes.
func anyScenario(s *stat.Stream) scenario {
	return scenario{
		training: 60 + s.IntN(140), epochs: 20 + s.IntN(41), prevalence: within(s, 0.3, 0.6),
		signal: within(s, 0, 1.2), scale: within(s, 1, 3), rise: within(s, 2, 15),
		walkBias: maybe(s, 0.6, 0, 0.8), shakeBias: maybe(s, 0.6, 0, 1), walk: within(s, 0, 0.4), shake: maybe(s, 0.7, 0, 1),
		lag: maybe(s, 0.4, 0, 1.5), dropout: maybe(s, 0.3, 0, 1.5), fraction: 1, memory: within(s, 2, 8), inflate: within(s, 0, 1),
	}
}

// cleanScenario draws a well-behaved run: it generalises, its probabilities
// are about calibrated (the scale of an ideal classifier is twice the signal),
// and it settles.
func cleanScenario(s *stat.Stream) scenario {
	signal := within(s, 0.8, 1.8)
	return scenario{
		training: 100 + s.IntN(200), epochs: 30 + s.IntN(31), prevalence: within(s, 0.4, 0.6),
		signal: signal, scale: 2 * signal * within(s, 0.8, 1.1), rise: within(s, 2, 8),
		walkBias: within(s, 0, 0.1), shakeBias: within(s, 0, 0.15), walk: within(s, 0, 0.1), shake: within(s, 0, 0.15),
		fraction: 1, memory: within(s, 0, 1),
	}
}

// A family of runs has one cause planted, or none.
type family struct {
	name  string
	cause string
	plant func(s *stat.Stream, c *scenario)
}

// detected is the cause whose verdicts are counted: the planted one, and in
// clean runs the small validation set, which they all have.
func (f *family) detected() string {
	if f.cause == "" {
		return "small-validation-set"
	}
	return f.cause
}

// families are clean runs and such with one thing planted.
var families = []family{
	{"clean", "", func(*stat.Stream, *scenario) {}},
	{"dropout left on", "stochastic-evaluation", func(s *stat.Stream, c *scenario) { c.dropout = within(s, 0.5, 3) }},
	{"half the set at random", "random-validation-subset", func(s *stat.Stream, c *scenario) { c.fraction = 0.5 }},
	{"batch-norm lag", "batch-norm-lag", func(s *stat.Stream, c *scenario) { c.lag = within(s, 0.5, 3) }},
	{"jumping weights", "learning-rate-too-high", func(s *stat.Stream, c *scenario) {
		c.shakeBias, c.shake = within(s, 0.5, 3), within(s, 0.2, 1)
	}},
	{"no signal, memorised", "coin-flip", func(s *stat.Stream, c *scenario) {
		c.signal, c.scale, c.memory, c.walk = 0, within(s, 1, 2), within(s, 6, 10), within(s, 0.2, 0.5)
	}},
	{"memorised", "overfitting", func(s *stat.Stream, c *scenario) {
		c.signal, c.scale, c.memory, c.inflate = within(s, 0.3, 0.6), within(s, 2, 3), within(s, 6, 10), within(s, 0.5, 1.5)
	}},
}

// A tally gathers estimates beside their truths.
type tally struct{ bias, err, width, covered, count float64 }

func (a *tally) add(estimate, low, high, truth float64) {
	a.bias += estimate - truth
	a.err += math.Abs(estimate - truth)
	a.count++
	if low <= truth && truth <= high {
		a.covered++
	}
	a.width += high - low
}

func (a *tally) mean(sum float64) float64 { return sum / a.count }

// studyEstimates compares shares, jitter and optimism with their truths.
func studyEstimates(seeds uint64, courses, sets int) (finite, ladder, selection string) {
	type key struct {
		n    int
		what string
	}
	tallies := map[key]*tally{}
	at := func(n int, what string) *tally {
		k := key{n, what}
		if tallies[k] == nil {
			tallies[k] = &tally{}
		}
		return tallies[k]
	}
	sizes := []int{12, 20, 50, 200}
	for k := range uint64(courses) {
		c := newCourse(anyScenario(stat.NewStream(seeds+k, "scenario")), seeds+k)
		truth := c.measure(10_000)
		pool := newEvidence(c.run(poolSize, 1<<32)).validation[run.Logged].panel(accuracyValues)
		for _, n := range sizes {
			optimism := trueOptimism(pool, n, c.positives(n), seeds+k)
			for r := range uint64(sets) {
				e := newEvidence(c.run(n, r))
				if e.logged == nil || !(e.logged.total.value > 0) {
					at(n, "still").count++
					continue
				}
				share := truth.finite(0, n) / truth.jitter2(0, n)
				f := e.logged.finiteShare()
				at(n, "plain").add(e.logged.finite.value/e.logged.total.value, 0, 0, share)
				at(n, "finite").add(float64(f.Points), float64(f.Low), float64(f.High), share)
				j := e.logged.interval(Points)
				at(n, "jitter").add(float64(j.Points), float64(j.Low), float64(j.High), 100*math.Sqrt(truth.jitter2(0, n)))
				m := e.logged.infinite()
				at(n, "infinite").add(float64(m.Points), float64(m.Low), float64(m.High), 100*math.Sqrt(math.Max(0, truth.model(0, n))))
				for rung, s := range e.budget {
					at(n, s.Source).add(float64(s.Share), float64(s.Low), float64(s.High), truth.share(rung+1, n))
				}
				best := e.best()
				real := 100 * (e.accuracy[best] - truth.accuracy(0, n, best))
				x, _, _, deviation := winnersCurse(e.validation[run.Logged].panel(accuracyValues))
				at(n, "realised").add(x, x-1.96*deviation, x+1.96*deviation, real)
				at(n, "expected").add(x, 0, 0, optimism)
				at(n, "true").add(optimism, 0, 0, 0)
			}
		}
	}
	finite = "| n | plain V_n / J²: bias | MAE | used: bias | MAE | coverage | width | J: bias | MAE | coverage | infinite set: bias | MAE | coverage |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
	ladder = "| source | n | bias | MAE | coverage | width |\n|---|--:|--:|--:|--:|--:|\n"
	selection = "| n | true optimism | estimate: bias | MAE | one set's optimism covered |\n|--:|--:|--:|--:|--:|\n"
	for _, n := range sizes {
		p, f, j, m := at(n, "plain"), at(n, "finite"), at(n, "jitter"), at(n, "infinite")
		finite += fmt.Sprintf("| %d | %+.2f | %.2f | %+.2f | %.2f | %.1f %% | %.2f | %+.2f | %.2f | %.1f %% | %+.2f | %.2f | %.1f %% |\n", n,
			p.mean(p.bias), p.mean(p.err), f.mean(f.bias), f.mean(f.err), 100*f.mean(f.covered), f.mean(f.width),
			j.mean(j.bias), j.mean(j.err), 100*j.mean(j.covered), m.mean(m.bias), m.mean(m.err), 100*m.mean(m.covered))
		x, realised := at(n, "expected"), at(n, "realised")
		selection += fmt.Sprintf("| %d | %.1f | %+.1f | %.1f | %.1f %% |\n", n, at(n, "true").mean(at(n, "true").bias),
			x.mean(x.bias), x.mean(x.err), 100*realised.mean(realised.covered))
	}
	for _, source := range []string{EvaluationNoise, BatchNormLag, ThresholdFlicker, WeightNoise, FiniteValidationSet, RealChange} {
		for _, n := range sizes {
			a := at(n, source)
			ladder += fmt.Sprintf("| %s | %d | %+.2f | %.2f | %.1f %% | %.2f |\n", source, n, a.mean(a.bias), a.mean(a.err), 100*a.mean(a.covered), a.mean(a.width))
		}
	}
	return finite, ladder, selection
}

// share is the true share of the budget's rung (1 to 6) on n subjects.
func (t *truth) share(rung, n int) float64 {
	switch rung {
	case 5:
		return t.finite(4, n) / t.jitter2(0, n)
	case 6:
		return t.model(4, n) / t.jitter2(0, n)
	}
	return (t.jitter2(rung-1, n) - t.jitter2(rung, n)) / t.jitter2(0, n)
}

// poolSize is the number of fresh subjects whose predictions are kept.
const poolSize = 3_000

// trueOptimism is by how many points the best epoch on n subjects exceeds the
// same epoch on the whole pool, in the mean over many sets drawn from it.
func trueOptimism(pool *panel, n, positives int, seed uint64) float64 {
	const draws = 300
	whole := pool.curve()
	sum := 0.0
	for k := range uint64(draws) {
		s := stat.NewStream(seed, "optimism", uint64(n), k)
		drawn := make([]float64, len(whole))
		for j := range n {
			// Fixed numbers of each class.
			class := 0
			if j < positives {
				class = 1
			}
			i := pool.strata[class][s.IntN(len(pool.strata[class]))]
			for t, values := range pool.values {
				drawn[t] += values[i] / float64(n)
			}
		}
		best := 0
		for t := range drawn {
			if drawn[t] > drawn[best]+1e-12 {
				best = t
			}
		}
		sum += 100 * (drawn[best] - whole[best])
	}
	return sum / draws
}

// state is what is true of a course on n subjects, measured on fresh ones.
type state struct {
	finite, random, lag, weight   float64 // shares
	gain                          float64 // of late accuracy by recalibration, points
	noise, subset                 bool    // the logged evaluation is random, or of a part
	threshold                     float64 // share
	jitter, gap, confidence, area float64
	optimism                      float64
}

func (c *course) state(t *truth, n int, optimism float64, fresh *evidence) state {
	late := func(k int) float64 {
		sum := 0.0
		for epoch := fresh.lateFrom; epoch < c.epochs; epoch++ {
			sum += 100 * t.accuracy(k, n, epoch) / float64(c.epochs-fresh.lateFrom)
		}
		return sum
	}
	p := fresh.clean(run.Validation)
	rows, classes := fresh.lateRows(p)
	training, _, _ := fresh.trainingLevel()
	right := fresh.late(p, correct)
	return state{
		finite: t.finite(0, n) / t.jitter2(0, n), random: t.share(1, n), lag: t.share(2, n), weight: t.share(4, n),
		gain: late(2) - late(1), noise: c.dropout > 0, subset: c.fraction < 1, threshold: t.share(3, n),
		jitter: 100 * math.Sqrt(t.jitter2(0, n)), gap: 100 * (training - mean(right)),
		confidence: 100 * (mean(fresh.late(p, func(row run.Row, _ int) float64 { return float64(slices.Max(row)) })) - mean(right)),
		area:       mean(aurocValues(rows, classes)), optimism: optimism,
	}
}

// untrue reports whether a verdict "confirmed" or "likely" claims what is not so.
func (s *state) untrue(f *Finding) bool {
	if f.Verdict != Confirmed && f.Verdict != Likely {
		return false
	}
	switch f.ID {
	case "small-validation-set":
		return s.finite < relevantShare
	case "stochastic-evaluation":
		return !s.noise
	case "random-validation-subset":
		return !s.subset
	case "threshold-flicker":
		return s.threshold < relevantShare
	case "no-signal":
		return s.area >= weakAUROC
	case "batch-norm-lag":
		return s.lag < relevantShare && s.gain < relevantOptimism
	case "learning-rate-too-high":
		return s.weight < relevantShare
	case "overfitting":
		return s.gap < relevantGap
	case "overconfidence":
		return s.confidence < relevantGap
	case "coin-flip":
		return s.area >= guessingAUROC && f.Verdict == Confirmed || s.area >= weakAUROC
	case "optimistic-selection":
		return s.optimism < relevantOptimism
	}
	return true
}

// relevant reports whether a cause truly matters.
func (s *state) relevant(cause string) bool {
	switch cause {
	case "small-validation-set":
		return s.jitter >= relevantJitter && s.finite >= relevantShare
	case "stochastic-evaluation", "random-validation-subset":
		return s.jitter >= relevantJitter && s.random >= relevantShare
	case "batch-norm-lag":
		return s.jitter >= relevantJitter && s.lag >= relevantShare || s.gain >= relevantOptimism
	case "learning-rate-too-high":
		return s.jitter >= relevantJitter && s.weight >= relevantShare
	case "overfitting":
		return s.gap >= relevantGap
	case "coin-flip":
		return s.area < guessingAUROC
	}
	return false
}

// simulatedCauses are those that a simulation of outputs can show, and so accuse
// wrongly; docs/reliability-of-diagnosis.md has all of them on trained networks.
var simulatedCauses = []string{
	"coin-flip", "small-validation-set", "stochastic-evaluation", "random-validation-subset", "batch-norm-lag", "threshold-flicker",
	"learning-rate-too-high", "overfitting", "overconfidence", "optimistic-selection", "no-signal",
}

// studyVerdicts counts verdicts over clean and planted runs.
func studyVerdicts(seeds uint64, courses, sets int) (alarms, detection string) {
	sizes := []int{20, 40, 100, 400}
	type key struct {
		family, n int
		cause     string
		verdict   string
	}
	count, wrong, runs := map[key]float64{}, map[key]float64{}, map[key]float64{}
	for f, family := range families {
		for k := range uint64(courses) {
			seed := seeds + 1000*uint64(f+1) + k
			s := stat.NewStream(seed, "scenario")
			scenario := cleanScenario(s)
			family.plant(s, &scenario)
			c := newCourse(scenario, seed)
			truth := c.measure(3_000)
			fresh := newEvidence(c.run(poolSize, 1<<32))
			pool := fresh.validation[run.Logged].panel(accuracyValues)
			for _, n := range sizes {
				state := c.state(truth, n, trueOptimism(pool, n, c.positives(n), seed), fresh)
				for r := range uint64(sets) {
					report, err := Diagnose(c.run(n, r))
					if err != nil {
						panic(err)
					}
					runs[key{f, n, "", ""}]++
					matters := state.relevant(family.detected())
					if matters {
						runs[key{f, n, family.detected(), ""}]++
					}
					for _, finding := range report.Findings {
						if matters && finding.ID == family.detected() {
							count[key{f, n, finding.ID, finding.Verdict}]++
						}
						if slices.Contains(simulatedCauses, finding.ID) && state.untrue(&finding) {
							wrong[key{f, n, finding.ID, ""}]++
							wrong[key{f, n, "", ""}]++
						}
					}
				}
			}
		}
	}
	alarms = "| runs | n |"
	for _, id := range simulatedCauses {
		alarms += " " + id + " |"
	}
	alarms += " all these, per run |\n|---|--:|" + strings.Repeat("--:|", len(simulatedCauses)+1) + "\n"
	detection = "| planted | n | runs where it matters | confirmed | likely | possible | cannot tell | ruled out |\n|---|--:|--:|--:|--:|--:|--:|--:|\n"
	for f, family := range families {
		for _, n := range sizes {
			total := runs[key{f, n, "", ""}]
			alarms += fmt.Sprintf("| %s | %d |", family.name, n)
			for _, id := range simulatedCauses {
				alarms += fmt.Sprintf(" %.1f %% |", 100*wrong[key{f, n, id, ""}]/total)
			}
			alarms += fmt.Sprintf(" %.2f |\n", wrong[key{f, n, "", ""}]/total)
			planted := family.detected()
			matters := runs[key{f, n, planted, ""}]
			detection += fmt.Sprintf("| %s: %s | %d | %.0f |", family.name, planted, n, matters)
			for _, verdict := range verdictOrder {
				if matters == 0 {
					detection += " |"
				} else {
					detection += fmt.Sprintf(" %.0f %% |", 100*count[key{f, n, planted, verdict}]/matters)
				}
			}
			detection += "\n"
		}
	}
	return alarms, detection
}

// TestStudy measures the estimators and verdicts on simulated runs whose truth
// is known. Without -study a small part of it runs and only gross failure is
// an error.
func TestStudy(t *testing.T) {
	tables := map[string]string{}
	switch *study {
	case "":
		finite, _, _ := studyEstimates(evaluationSeeds, 2, 3)
		if strings.Contains(finite, "NaN") {
			t.Errorf("the study has holes:\n%s", finite)
		}
		return
	case "develop":
		tables["finite"], tables["ladder"], tables["selection"] = studyEstimates(developmentSeeds, 30, 6)
		tables["alarms"], tables["detection"] = studyVerdicts(developmentSeeds, 12, 4)
	case "evaluate", "evaluate-estimates", "evaluate-verdicts":
		if *study != "evaluate-verdicts" {
			tables["finite"], tables["ladder"], tables["selection"] = studyEstimates(evaluationSeeds, 60, 8)
		}
		if *study != "evaluate-estimates" {
			tables["alarms"], tables["detection"] = studyVerdicts(evaluationSeeds, 20, 6)
		}
	default:
		t.Fatalf("-study=%s: it is develop, evaluate, evaluate-estimates or evaluate-verdicts", *study)
	}
	if *study == "develop" {
		for _, name := range []string{"finite", "ladder", "selection", "alarms", "detection"} {
			fmt.Printf("\n%s\n%s", name, tables[name])
		}
		return
	}
	const file = "../docs/budget.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, table := range tables {
		block := regexp.MustCompile(`(?s)(<!-- table ` + name + ` -->\n).*?(<!-- end -->)`)
		if !block.Match(text) {
			t.Errorf("%s has no place for the table %s", file, name)
		}
		text = block.ReplaceAll(text, []byte("${1}"+strings.ReplaceAll(table, "$", "$$")+"${2}"))
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
