package train

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ballast/cohort"
)

// patients returns subjects with the values of one column each per row: "50 f".
func patients(columns string, rows ...string) (names []string, subjects []cohort.Subject) {
	names = strings.Fields(columns)
	for n, row := range rows {
		s := cohort.Subject{ID: fmt.Sprint(n), Covariates: map[string]string{}}
		for k, value := range strings.Fields(row) {
			if value != "-" {
				s.Covariates[names[k]] = value
			}
		}
		subjects = append(subjects, s)
	}
	return names, subjects
}

func fitted(t *testing.T, columns string, rows ...string) *Covariates {
	t.Helper()
	names, subjects := patients(columns, rows...)
	c, err := FitCovariates(names, subjects)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Numbers are standardised as by scikit-learn 1.8's StandardScaler: of 50, 70, 60
// and 40 the mean is 55 and the standard deviation sqrt(125).
func TestEncodeCovariates(t *testing.T) {
	c := fitted(t, "age sex grade", "50 f 2", "70 m 2", "- f 2", "60 - 2", "40 f 2")
	if want := []string{"age", "age missing", "sex f", "sex m", "sex missing", "grade"}; !slices.Equal(c.Names(), want) || c.Width() != len(want) {
		t.Errorf("names %v", c.Names())
	}
	one := float32(math.Sqrt(125))
	for _, e := range []struct {
		row  string
		want []float32
		odd  string
	}{
		{"50 f 2", []float32{-5 / one, 0, 1, 0, 0, 0}, ""},
		{"66.18033988749895 m 2", []float32{1, 0, 0, 1, 0, 0}, ""},
		{"- - -", []float32{0, 1, 0, 0, 1, 0}, ""},
		{"5.5e1 x 2", []float32{0, 0, 0, 0, 0, 0}, `covariate sex is "x", which no training subject has (f, m)`},
		{"200 m 3", []float32{145 / one, 0, 0, 1, 0, 0}, "covariate age is 200, 13 standard deviations from the training subjects' mean of 55; covariate grade is 3, but 2 for every training subject"},
	} {
		_, subjects := patients("age sex grade", e.row)
		got, err := c.Encode(subjects[0].Covariates)
		if err != nil {
			t.Fatal(err)
		}
		for i := range e.want {
			if len(got) != len(e.want) || !(math.Abs(float64(got[i]-e.want[i])) <= 1e-6) {
				t.Errorf("%s: %v, want %v", e.row, got, e.want)
				break
			}
		}
		if odd := strings.Join(c.Odd(subjects[0].Covariates), "; "); !strings.Contains(odd, e.odd) || (e.odd == "") != (odd == "") {
			t.Errorf("%s: remarks %q, want %q", e.row, odd, e.odd)
		}
	}
	var none *Covariates
	if encoded, err := none.Encode(nil); encoded != nil || err != nil || none.Width() != 0 || none.Odd(nil) != nil {
		t.Error("nil encodes something")
	}
}

// What is fitted does not depend on subjects that are not trained on.
func TestCovariatesAreFittedOnTrainingSubjects(t *testing.T) {
	names, subjects := patients("age sex", "50 f", "70 m", "1000 x", "- y")
	p := DefaultPlan()
	p.Data.Covariates = names
	c, err := p.fitCovariates(&cohort.Cohort{Subjects: subjects}, cohort.Split{Train: []int{0, 1}, Validation: []int{2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	if want := fitted(t, "age sex", "50 f", "70 m"); !reflect.DeepEqual(c, want) || c.Subjects != 2 {
		t.Errorf("%s, want %s", c.JSON(), want.JSON())
	}
}

func TestCovariatesRefused(t *testing.T) {
	many := []string{}
	for n := range 13 {
		many = append(many, fmt.Sprintf("w%02d", n))
	}
	for _, c := range []struct {
		rows []string
		want string
	}{
		{[]string{"-", "-"}, "no training subject has a value in column x"},
		{many, "column x has 13 different words (w00, w01, w02, ...), more than 12; group them"},
		{append(slices.Repeat([]string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}, 1), ">90"), `would count as numbers but for ">90"`},
		{[]string{"1e308", "-1e308"}, "cannot be brought to one scale"},
	} {
		names, subjects := patients("x", c.rows...)
		_, err := FitCovariates(names, subjects)
		if !errors.Is(err, cohort.ErrCovariate) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%v: %v, want %q", c.rows, err, c.want)
		}
	}
	c := fitted(t, "age", "50", "60")
	for value, want := range map[string]string{"old": `age is "old", but all training subjects have numbers`, "1e300": "too far from the training subjects' mean of 55"} {
		if _, err := c.Encode(map[string]string{"age": value}); !errors.Is(err, cohort.ErrCovariate) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
	if err := c.Known(map[string]string{"aeg": "5"}); err == nil || !strings.Contains(err.Error(), `no covariate "aeg"; did you mean age?`) {
		t.Error(err)
	}
	if err := (*Covariates)(nil).Known(map[string]string{"age": "5"}); err == nil || !strings.Contains(err.Error(), "uses no covariates") {
		t.Error(err)
	}
	if err := c.Known(map[string]string{"age": "5"}); err != nil {
		t.Error(err)
	}
}

func TestReadCovariates(t *testing.T) {
	c := fitted(t, "age sex", "50 <f>", "61.3 m", "- m")
	text := string(c.JSON())
	again, err := ReadCovariates([]byte(text))
	if err != nil || !reflect.DeepEqual(again, c) {
		t.Fatalf("%v, %v", again, err)
	}
	if strings.Contains(text, `\u`) {
		t.Errorf("escaped: %s", text)
	}
	for _, change := range [][2]string{
		{`"format": 1`, `"format": 2`}, {`"subjects": 3`, `"subjects": 0`}, {`"name": "age"`, `"name": "sex"`}, {`"name": "age"`, `"name": ""`},
		{`"deviation": `, `"deviation": -`}, {`"deviation": `, `"deviation": 1e999, "x": `}, {`"mean"`, `"average"`}, {`"number": {`, `"words": ["a"], "number": {`},
		{`"<f>",`, `"z",`}, {`"<f>",`, `"",`}, {"]\n}", "]\n} {}"}, {`"columns": [`, `"columns": [], "rest": [`},
	} {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("nothing to change: %s", change[0])
		}
		if _, err := ReadCovariates([]byte(strings.Replace(text, change[0], change[1], 1))); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s in place of %s: %v", change[1], change[0], err)
		}
	}
}

// A run's covariates must be there and be those of its plan.
func TestRunCovariates(t *testing.T) {
	dir := t.TempDir()
	p := DefaultPlan()
	if c, err := readRunCovariates(dir, &p); c != nil || err != nil {
		t.Errorf("a run without: %v, %v", c, err)
	}
	p.Data.Covariates = []string{"age"}
	if _, err := readRunCovariates(dir, &p); err == nil || !strings.Contains(err.Error(), CovariatesFile) {
		t.Errorf("a missing file: %v", err)
	}
	for text, want := range map[string]string{
		string(fitted(t, "sex", "f", "m").JSON()): "it holds the columns sex, the plan uses age",
		"{": "covariates: unexpected EOF",
		string(fitted(t, "age", "5", "06").JSON()): "",
	} {
		if err := os.WriteFile(filepath.Join(dir, CovariatesFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readRunCovariates(dir, &p); !strings.Contains(fmt.Sprint(err), want) || want == "" && err != nil {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzReadCovariates(f *testing.F) {
	names, subjects := patients("age sex", "50 f", "61.3 m", "- m")
	c, err := FitCovariates(names, subjects)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.JSON())
	f.Add([]byte(`{"format":1,"subjects":1,"columns":[{"name":"a","number":{"mean":-0,"deviation":5e-324},"missing":true}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ReadCovariates(text)
		if err != nil {
			return
		}
		again, err := ReadCovariates(c.JSON())
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%s: %v", c.JSON(), err)
		}
		for _, values := range []map[string]string{nil, {"age": "5", "sex": "m"}} {
			if encoded, err := c.Encode(values); err == nil && len(encoded) != c.Width() {
				t.Fatalf("%d numbers, %d names", len(encoded), c.Width())
			}
			c.Odd(values)
		}
	})
}
