package diagnosis

import (
	"math"
	"slices"
	"strings"
	"testing"

	"ballast/run"
	"ballast/train"
)

// treated is a run whose logged validation curve is that of its averaged weights, as
// validation.weights: averaged makes it, with or without a plan that says so.
func treated(t *testing.T, told bool) *run.Run {
	t.Helper()
	r := newCourse(typical(), 11).run(40, 0)
	for i := range r.Epochs {
		e := &r.Epochs[i]
		averaged := e.Evaluation(run.Averaged, run.Validation)
		logged := e.Evaluation(run.Logged, run.Validation)
		if averaged == nil || logged == nil {
			t.Fatal("the simulated run lacks a view")
		}
		*logged = *averaged
		logged.View = run.Logged
	}
	r.Plan = nil
	if told {
		plan := train.DefaultPlan()
		plan.Validation.Weights = "averaged"
		r.Plan = plan.YAML()
	}
	return r
}

// A run that logs its averaged weights reads as what it is: sources that averaging
// and recomputing have switched off take nothing from the curve, and nothing is
// negative because another curve fluctuates more.
func TestCurveOfAveragedWeights(t *testing.T) {
	share := func(report *Report, source string) Share {
		for _, s := range report.Budget {
			if s.Source == source {
				return s
			}
		}
		t.Fatalf("no share of %s", source)
		return Share{}
	}
	misread := mustDiagnose(t, treated(t, false))
	if s := share(misread, EvaluationNoise); !(s.Share < -1) {
		t.Errorf("without the plan the ladder climbs up to the present weights: evaluation noise %g, and this test has nothing to show", s.Share)
	}
	report := mustDiagnose(t, treated(t, true))
	sum := 0.0
	for _, s := range report.Budget {
		sum += float64(s.Share)
		if s.Share < -0.5 || s.Share > 1.5 {
			t.Errorf("%s has a share of %g", s.Source, s.Share)
		}
	}
	if !(math.Abs(sum-1) < 1e-9) {
		t.Errorf("the shares sum to %g", sum)
	}
	for _, source := range []string{EvaluationNoise, BatchNormLag, WeightNoise} {
		if s := share(report, source); s.Share != 0 || s.Low != 0 || s.High != 0 || len(s.Includes) > 0 {
			t.Errorf("%s: %+v, want nothing", source, s)
		}
	}
	for id, want := range map[string][]string{
		stochasticEvaluation.ID: {RuledOut}, batchNormLag.ID: {RuledOut}, learningRateTooHigh.ID: {CannotTell, Possible, Likely},
	} {
		for _, f := range report.Findings {
			if f.ID == id && !slices.Contains(want, f.Verdict) {
				t.Errorf("%s is %s: %v", id, f.Verdict, f.Evidence)
			}
		}
	}
	for _, v := range report.Views {
		if removed := v.Removed.Points; removed.Known() && removed < -0.5 {
			t.Errorf("the view %s removes %g of the logged variance", v.View, removed)
		}
		if v.View == run.Deterministic && !(v.Jitter.Points > 1.5*report.Jitter["accuracy"].Points) {
			t.Errorf("the present weights fluctuate by %g points, the averaged ones by %g", v.Jitter.Points, report.Jitter["accuracy"].Points)
		}
	}
	if !strings.Contains(strings.Join(report.Notes, "\n"), "validation.weights: averaged") {
		t.Errorf("no note says what the logged curve is: %q", report.Notes)
	}
}
