package cohort

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Columns asked for as covariates are found whatever their case, kept for each
// subject beside the others, and named in Columns.
func TestCovariates(t *testing.T) {
	folder := tree(t, map[string]string{"t.csv": "pid,file,label,Age,sex,site,te\na,1.nii,0,50,f,x,5\na,2.nii,0,,f,x,6\nb,3.nii,1,n/a,m,y,7\n"}, "1.nii", "2.nii", "3.nii")
	c, err := Open(folder, Options{Site: "site", Covariates: []string{"age", "sex", "site"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "a=0 1.nii {te:5} 2.nii {te:6} (x,,) {Age:50 sex:f site:x}; b=1 3.nii {te:7} (y,,) {sex:m site:y}"; account(c) != want {
		t.Errorf("%s\nwant %s", account(c), want)
	}
	if !slices.Equal(c.Columns.Covariates, []string{"Age", "sex", "site"}) {
		t.Errorf("columns %v", c.Columns.Covariates)
	}
	c, err = OpenTable(folder, Options{Covariates: []string{"sex"}})
	if err != nil || c.Subjects[1].Covariates["sex"] != "m" {
		t.Errorf("a table alone: %v, %v", c, err)
	}
}

func TestCovariatesRefused(t *testing.T) {
	const text = "pid,file,mask,label,age,te,session,split\na,1.nii,1m.nii,0,50,5,1,train\na,2.nii,2m.nii,0,,6,2,train\nb,3.nii,3m.nii,1,60,7,1,train\nc,4.nii,4m.nii,1,60,7,1,validation\n"
	table := tree(t, map[string]string{"t.csv": text}, "1.nii", "2.nii", "3.nii", "4.nii", "1m.nii", "2m.nii", "3m.nii", "4m.nii")
	folders := tree(t, nil, "no/a.png", "yes/b.png")
	for _, c := range []struct {
		folder  string
		columns string
		is      error
		want    string
	}{
		{table, "agee", ErrColumn, `no column "agee"; did you mean --set data.covariates=[age]?`},
		{table, "label", ErrCovariate, "column label of"},
		{table, "pid", ErrCovariate, "holds the subject"},
		{table, "file", ErrCovariate, "holds the image file"},
		{table, "mask", ErrCovariate, "holds the mask"},
		{table, "session", ErrCovariate, "holds the session"},
		{table, "split", ErrCovariate, "holds the set"},
		{table, "age,Age", ErrCovariate, "column age is asked for twice"},
		{table, "age,te", ErrCovariate, `subject a has "5" (line 2) and "6" (line 3) in column te`},
		{folders, "age", ErrColumn, `is a folder of classes without a table, so there is no column "age"`},
	} {
		_, err := Open(c.folder, Options{Covariates: strings.Split(c.columns, ",")})
		if !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.want) || strings.Contains(fmt.Sprint(err), "\n") {
			t.Errorf("%s: %v, want %q", c.columns, err, c.want)
		}
	}
	if _, err := Open(table, Options{Session: "1", Covariates: []string{"te"}}); err != nil {
		t.Errorf("one visit: %v", err)
	}
}
