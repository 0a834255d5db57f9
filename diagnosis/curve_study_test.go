package diagnosis

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"ballast/run"
	"ballast/stat"
)

// curvesOf is the log that another trainer would have left of a run: accuracies
// and losses to four decimals, and nothing of single subjects.
func curvesOf(r *run.Run) *run.Curves {
	c := &run.Curves{Source: "simulation", Format: "simulation", Measure: "accuracy"}
	digits := func(x run.Float) run.Float { return run.Float(math.Round(float64(x)*1e4) / 1e4) }
	for i := range r.Epochs {
		validation, training := r.Epochs[i].Evaluation(run.Logged, run.Validation), r.Epochs[i].Evaluation(run.Logged, run.Train)
		c.Points = append(c.Points, run.Point{
			Epoch: r.Epochs[i].Epoch, Step: r.Epochs[i].Step, LearningRate: r.Epochs[i].LearningRate,
			TrainLoss: digits(training.Loss), TrainAccuracy: digits(training.Accuracy),
			ValidationLoss: digits(validation.Loss), ValidationAccuracy: digits(validation.Accuracy),
		})
	}
	return c
}

// optionsOf are what the user could have said of a run.
func optionsOf(r *run.Run) CurveOptions {
	var classes []int
	for _, s := range r.Header.Sets[run.Validation] {
		classes = append(classes, s.Class)
	}
	return CurveOptions{Validation: len(classes), Classes: 2, Prevalence: commonest(classes)}
}

// A curveTruth is what curves of a course truly hold, measured on a pool of
// fresh subjects.
type curveTruth struct {
	finite, optimism, gap, confidence, level, guess float64
	lossRise, lossFall, gain, weight                float64
}

func (c *course) curveTruth(n int, pool *run.Run, t *truth, optimism float64) curveTruth {
	fresh, e := newEvidence(pool), newCurveEvidence(curvesOf(pool), CurveOptions{Classes: 2})
	s := c.state(t, n, optimism, fresh)
	lowest, rise := e.turn(e.loss)
	third := len(e.epochs) - e.lateFrom
	change := func(curve []float64) float64 {
		return finiteMean(curve[len(curve)-third/2:]) - finiteMean(curve[e.lateFrom:e.lateFrom+third/2])
	}
	return curveTruth{
		finite: s.finite, optimism: optimism, gap: s.gap, confidence: s.confidence, weight: s.weight,
		level: 100 * e.late(e.accuracy), guess: 100 * math.Max(c.prevalence, 1-c.prevalence),
		lossRise: rise / smoothed(e.loss)[lowest], lossFall: -2 * change(e.loss) / e.late(e.loss), gain: 200 * change(e.accuracy),
	}
}

// untrue reports whether a verdict "likely" or "confirmed" claims of a clean
// run what is not so.
func (c *curveTruth) untrue(f *Finding) bool {
	if f.Verdict != Confirmed && f.Verdict != Likely {
		return false
	}
	switch f.ID {
	case "small-validation-set":
		return c.finite < relevantShare
	case "optimistic-selection":
		return c.optimism < relevantOptimism
	case "overfitting":
		return c.gap < relevantGap && c.lossRise < riseShare
	case "overconfidence":
		return c.confidence < relevantGap
	case "coin-flip":
		return c.level > c.guess+100*weakGain*(1-c.guess/100)
	case "trained-too-long":
		return c.lossRise < riseShare
	case "trained-too-short":
		return c.gain < relevantOptimism && c.lossFall < lossShare
	case "validation-better-than-training":
		return c.gap > -relevantGain
	case "learning-rate-too-high":
		return c.weight < relevantShare
	}
	return true // not so in any clean run
}

// studyCurves counts untrue verdicts on clean runs, with the options given and
// without; ever counts those that a reader who looks after every epoch meets.
func studyCurves(seeds uint64, courses, sets int, ns ...int) (alarms string) {
	alarms = "| n | options | judged once: untrue per run | of these | looked at after every epoch: untrue per run |\n|--:|---|--:|---|--:|\n"
	type key struct {
		n     int
		given bool
	}
	wrong, ever, runs := map[key]map[string]int{}, map[key]int{}, map[key]int{}
	for k := range uint64(courses) {
		seed := seeds + 50_000 + k
		c := newCourse(cleanScenario(stat.NewStream(seed, "scenario")), seed)
		t, pool := c.measure(3_000), c.run(poolSize, 1<<32)
		panel := newEvidence(pool).validation[run.Logged].panel(accuracyValues)
		for _, n := range ns {
			truth := c.curveTruth(n, pool, t, trueOptimism(panel, n, c.positives(n), seed))
			for set := range uint64(sets) {
				r := c.run(n, set)
				for _, given := range []bool{true, false} {
					at := key{n, given}
					if wrong[at] == nil {
						wrong[at] = map[string]int{}
					}
					options := CurveOptions{}
					if given {
						options = optionsOf(r)
					}
					runs[at]++
					for id := range truth.claims(curvesOf(r), options) {
						wrong[at][id]++
					}
					if set == 0 {
						ever[at] += len(truth.claimsEver(curvesOf(r), options))
					}
				}
			}
		}
	}
	for _, n := range ns {
		for _, given := range []bool{true, false} {
			at := key{n, given}
			total, parts := 0, []string{}
			for _, cause := range curveCauses {
				if count := wrong[at][cause.ID]; count > 0 {
					total += count
					parts = append(parts, fmt.Sprintf("%s %.1f %%", cause.ID, 100*float64(count)/float64(runs[at])))
				}
			}
			alarms += fmt.Sprintf("| %d | %s | %.3f | %s | %.2f |\n", n, map[bool]string{true: "all given", false: "none"}[given],
				float64(total)/float64(runs[at]), strings.Join(parts, ", "), float64(ever[at])/float64(courses))
		}
	}
	return alarms
}

// claims returns the untrue verdicts on a log.
func (c *curveTruth) claims(curves *run.Curves, o CurveOptions) map[string]bool {
	report, err := DiagnoseCurves(curves, o)
	if err != nil {
		panic(err)
	}
	claims := map[string]bool{}
	for i := range report.Findings {
		if c.untrue(&report.Findings[i]) {
			claims[report.Findings[i].ID] = true
		}
	}
	return claims
}

// claimsEver returns the untrue verdicts of a watcher, who says what two looks
// in a row find. What is true of the finished run only, such as that it was
// trained long enough, is not held against earlier looks.
func (c *curveTruth) claimsEver(curves *run.Curves, o CurveOptions) map[string]bool {
	said, before := map[string]bool{}, map[string]bool{}
	for epochs := 1; epochs <= len(curves.Points); epochs++ {
		part := *curves
		part.Points = curves.Points[:epochs]
		found := c.claims(&part, o)
		for id := range found {
			if before[id] && id != "trained-too-short" && id != "validation-better-than-training" {
				said[id] = true
			}
		}
		before = found
	}
	return said
}

// studyPlantedCurves counts the verdicts on the planted cause.
func studyPlantedCurves(seeds uint64, courses, sets int) string {
	planted := []struct {
		name, cause string
		plant       func(s *stat.Stream, c *scenario)
	}{
		{"memorised", "overfitting", families[6].plant},
		{"no signal, memorised", "coin-flip", families[5].plant},
		{"growing confidence", "overconfidence", func(s *stat.Stream, c *scenario) {
			c.signal, c.memory, c.inflate = within(s, 0.3, 0.6), 6, within(s, 2, 5)
		}},
		{"class bias", "class-bias-oscillation", func(s *stat.Stream, c *scenario) {
			c.prevalence, c.shakeBias, c.walkBias = within(s, 0.65, 0.8), within(s, 8, 16), 0
		}},
		{"slow learning", "trained-too-short", func(s *stat.Stream, c *scenario) { c.rise, c.epochs = within(s, 40, 80), 30 }},
		{"no learning", "too-little-learning", func(s *stat.Stream, c *scenario) { c.scale, c.memory, c.walk = 0.01, 0, 0.01 }},
	}
	table := "| planted | n | cause | confirmed | likely | possible | cannot tell | ruled out |\n|---|--:|---|--:|--:|--:|--:|--:|\n"
	for f, p := range planted {
		for _, n := range []int{20, 100, 400} {
			count, runs := map[string]int{}, 0
			for k := range uint64(courses) {
				seed := seeds + 60_000 + 1000*uint64(f) + k
				s := stat.NewStream(seed, "scenario")
				scenario := cleanScenario(s)
				p.plant(s, &scenario)
				c := newCourse(scenario, seed)
				for set := range uint64(sets) {
					r := c.run(n, set)
					report, err := DiagnoseCurves(curvesOf(r), optionsOf(r))
					if err != nil {
						panic(err)
					}
					count[report.finding(p.cause).Verdict]++
					runs++
				}
			}
			table += fmt.Sprintf("| %s | %d | %s |", p.name, n, p.cause)
			for _, verdict := range verdictOrder {
				table += fmt.Sprintf(" %.0f %% |", 100*float64(count[verdict])/float64(runs))
			}
			table += "\n"
		}
	}
	return table
}

// studySizes counts how often the size of the validation set is inferred.
func studySizes(seeds uint64, courses int) string {
	table := "| n | decimals | right | a divisor | another | cannot tell |\n|--:|--:|--:|--:|--:|--:|\n"
	for _, n := range []int{19, 40, 78, 120, 485, 1502, 10_000} {
		for _, decimals := range []int{2, 3, 4, 0} {
			var right, divisor, other, unknown float64
			runs := 20 * courses
			for k := range uint64(runs) {
				s := stat.NewStream(seeds+70_000+k, "size", uint64(n), uint64(decimals))
				level, spread := within(s, 0.5, 0.95), within(s, 0.01, 0.1)
				var accuracies []float64
				for range 15 + s.IntN(60) {
					a := math.Round(math.Min(1, math.Max(0, level+spread*s.Normal()))*float64(n)) / float64(n)
					if decimals > 0 {
						a = math.Round(a*math.Pow10(decimals)) / math.Pow10(decimals)
					}
					accuracies = append(accuracies, a)
				}
				switch found := InferValidationSize(accuracies).Cases; {
				case found == n:
					right++
				case found == 0:
					unknown++
				case n%found == 0:
					divisor++
				default:
					other++
				}
			}
			of := float64(runs) / 100
			name := fmt.Sprint(decimals)
			if decimals == 0 {
				name = "all"
			}
			table += fmt.Sprintf("| %d | %s | %.0f %% | %.1f %% | %.1f %% | %.0f %% |\n", n, name, right/of, divisor/of, other/of, unknown/of)
		}
	}
	return table
}

func curveTables(tables map[string]string, seeds uint64, courses, sets int) {
	tables["curve-alarms"] = studyCurves(seeds, courses, sets, 20, 40, 100, 400, 2000)
	tables["curve-detection"], tables["curve-sizes"] = studyPlantedCurves(seeds, courses, sets), studySizes(seeds, courses)
}

// TestCurveStudy measures the verdicts from curves alone on simulated runs, and
// writes their tables into docs/logs.md with -study=evaluate. Without -study a
// small part runs, and only frequent false alarms are an error.
func TestCurveStudy(t *testing.T) {
	tables := map[string]string{}
	switch *study {
	case "":
		alarms := studyCurves(evaluationSeeds+500, 2, 2, 20, 100)
		for _, row := range regexp.MustCompile(`(?m)^\| \d+ \| [a-z ]+ \| ([0-9.]+) `).FindAllStringSubmatch(alarms, -1) {
			if row[1] > "0.500" {
				t.Errorf("healthy runs give more than one untrue verdict in two:\n%s", alarms)
			}
		}
		return
	case "develop":
		curveTables(tables, developmentSeeds, 30, 4)
		for _, name := range []string{"curve-alarms", "curve-detection", "curve-sizes"} {
			fmt.Printf("\n%s\n%s", name, tables[name])
		}
		return
	}
	curveTables(tables, evaluationSeeds, 60, 6)
	const file = "../docs/logs.md"
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
