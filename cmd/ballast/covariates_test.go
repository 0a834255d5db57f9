package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ballast/cohort"
	"ballast/run"
)

// A run with covariates and attention is trained from the columns of a table and
// predicts what it recorded for a subject, given the same values.
func TestCovariates(t *testing.T) {
	dir := writePhantom(t, 16)
	out := filepath.Join(t.TempDir(), "run")
	mustBallast(t, append([]string{"train", dir, "--out", out, "--set", "data.covariates=[Age, sex, site]", "--set", "net.pooling=attention", "--site", "site"}, quick...)...)
	if plan, err := os.ReadFile(filepath.Join(out, "plan.yaml")); err != nil || !strings.Contains(string(plan), "covariates: [age, sex, site]") {
		t.Errorf("the plan does not name the columns as they are written (%v):\n%s", err, plan)
	}
	r, err := run.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cohort.OpenTable(dir, cohort.Options{Site: "site", Covariates: []string{"site"}})
	if err != nil {
		t.Fatal(err)
	}
	id := r.Header.Sets[run.Validation][0].ID
	image, mask := filepath.Join(dir, "images", id+"_T1w.nii.gz"), filepath.Join(dir, "masks", id+"_mask.nii.gz")
	var values []string
	for _, s := range c.Subjects {
		if s.ID == id {
			for name, value := range s.Covariates {
				values = append(values, "--covariate", name+"="+value)
			}
		}
	}
	if len(values) != 6 {
		t.Fatalf("covariates %v", values)
	}
	predict := []string{"predict", out, image, "--mask", mask}
	var predicted struct {
		Subjects []struct{ Probabilities run.Row }
	}
	if err := json.Unmarshal([]byte(mustBallast(t, append(append(predict, "--json"), values...)...)), &predicted); err != nil {
		t.Fatal(err)
	}
	want := r.Epochs[1].Evaluation(run.Deterministic, run.Validation).Probabilities[0]
	if got := predicted.Subjects[0].Probabilities; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("predicted %v, recorded %v", got, want)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--covariate", "age=63", "--covariate", "sex=x", "--covariate", "site=n/a"}, 0, `covariate sex is "x", which no training subject has`},
		{[]string{"--covariate", "age=63"}, 0, "covariate sex is not given and counts as missing"},
		{[]string{"--covariate", "aeg=63"}, exitUsage, `no covariate "aeg"; did you mean age?`},
		{[]string{"--covariate", "age=old"}, exitUsage, `age is "old", but all training subjects have numbers`},
		{[]string{"--covariate", "age"}, exitUsage, "it has the form age=63"},
		{[]string{"--covariate", "age=1", "--covariate", "age=2"}, exitUsage, "given twice"},
		{[]string{image, "--mask", mask, "--covariate", "age=1"}, exitUsage, "each a subject of their own"},
	} {
		code, stdout, stderr := ballast(t, append(predict, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.want) || (stdout == "") != (c.code != 0) || strings.Count(stderr, "\n") > 3 {
			t.Errorf("%v: exit %d, %q", c.args, code, stderr)
		}
	}
	if code, _, stderr := ballast(t, "train", dir, "--set", "data.covariates=[agee]"); code != exitFailed || !strings.Contains(stderr, "did you mean --set data.covariates=[age]?") {
		t.Errorf("an unknown column: exit %d, %s", code, stderr)
	}
	if err := os.Remove(filepath.Join(out, "covariates.json")); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := ballast(t, predict...); code != exitFailed || !strings.Contains(stderr, "covariates.json") {
		t.Errorf("without covariates.json: exit %d, %s", code, stderr)
	}
}
