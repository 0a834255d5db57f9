package cohort

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"ballast/stat"
)

// made returns a cohort with so many subjects of each class.
func made(perClass ...int) *Cohort {
	c := &Cohort{}
	for class, count := range perClass {
		c.Classes = append(c.Classes, string(rune('A'+class)))
		for n := range count {
			c.Subjects = append(c.Subjects, Subject{ID: fmt.Sprintf("%c%03d", 'A'+class, n), Class: class})
		}
	}
	return c
}

// Every subject is in one set, sets have the asked size, and each class has its
// share of each set, rounded by less than one.
func TestSplitIsAStratifiedPartition(t *testing.T) {
	for _, counts := range [][]int{{32, 19}, {35, 32, 24}, {100, 10}, {8, 8}, {300, 200}, {20, 4}, {6, 6, 6, 6, 6}, {8, 4}} {
		for _, shares := range [][2]float64{{0.3, 0}, {0.25, 0.25}, {0.34, 0.33}} {
			c := made(counts...)
			total := len(c.Subjects)
			s, err := c.Split(1, shares[0], shares[1])
			if err != nil {
				t.Errorf("%v %v: %v", counts, shares, err)
				continue
			}
			seen := make([]int, total)
			for set, members := range [][]int{s.Train, s.Validation, s.Test} {
				if !slices.IsSorted(members) {
					t.Errorf("%v %v: set %d is not in order", counts, shares, set)
				}
				for _, n := range members {
					seen[n]++
				}
			}
			if slices.Max(seen) != 1 || slices.Min(seen) != 1 {
				t.Errorf("%v %v: no partition", counts, shares)
			}
			for set, members := range map[int][]int{1: s.Validation, 2: s.Test} {
				share := shares[set-1]
				if share > 0 && share*float64(total) < 4 { // the floor of a set
					share = 4 / float64(total)
				}
				if !(math.Abs(float64(len(members))-share*float64(total)) <= 0.5+1e-9) {
					t.Errorf("%v %v: set %d has %d subjects", counts, shares, set, len(members))
				}
				for class, count := range c.count(members) {
					if want := share * float64(counts[class]); share > 0 && !(math.Abs(float64(count)-want) < 1 || count == 1 && want < 1) {
						t.Errorf("%v %v: set %d has %d of class %d, want about %g", counts, shares, set, count, class, want)
					}
				}
			}
		}
	}
}

func TestSplitDependsOnTheSeedAlone(t *testing.T) {
	c := made(32, 19)
	first, err := c.Split(1, 0.3, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := c.Split(1, 0.3, 0.1)
	other, _ := c.Split(2, 0.3, 0.1)
	if fmt.Sprint(first) != fmt.Sprint(again) {
		t.Error("one seed gives two splits")
	}
	if fmt.Sprint(first) == fmt.Sprint(other) {
		t.Error("two seeds give one split")
	}
	// Pinned, so that a published split can be made again.
	if got, want := fmt.Sprint(first.Test), "[2 10 16 39 41]"; got != want {
		t.Errorf("test set of seed 1: %s, want %s", got, want)
	}
	// Each subject comes to the validation set equally often: 1,000 seeds, share
	// 15/51, five standard errors.
	counts := make([]int, len(c.Subjects))
	for seed := range uint64(1000) {
		s, err := c.Split(seed, 0.3, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range s.Validation {
			counts[n]++
		}
	}
	for n, count := range counts {
		p := []float64{9. / 32, 6. / 19}[c.Subjects[n].Class]
		if !(math.Abs(float64(count)-1000*p) <= 5*math.Sqrt(1000*p*(1-p))) {
			t.Errorf("subject %d was validated on %d times of 1000, want about %.0f", n, count, 1000*p)
		}
	}
}

func TestSplitKeepsFixedSets(t *testing.T) {
	c := made(20, 20)
	for n := range c.Subjects {
		if n%4 == 0 {
			c.Subjects[n].Set = "test"
		}
	}
	s, err := c.Split(1, 0.2, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Test) != 10 || len(s.Validation) != 6 || len(s.Train) != 24 {
		t.Errorf("%d train, %d validation, %d test, want 24, 6, 10", len(s.Train), len(s.Validation), len(s.Test))
	}
	for _, n := range s.Test {
		if c.Subjects[n].Set != "test" {
			t.Errorf("subject %d was moved to the test set", n)
		}
	}
	for n := range c.Subjects {
		c.Subjects[n].Set = []string{"train", "validation"}[n%2]
	}
	if s, err = c.Split(1, 0.2, 0.2); err != nil || len(s.Train) != 20 || len(s.Validation) != 20 || len(s.Test) != 0 {
		t.Errorf("all fixed: %v %v", s, err)
	}
	for n := range c.Subjects {
		c.Subjects[n].Set = "train"
	}
	if _, err = c.Split(1, 0.2, 0); !errors.Is(err, ErrTooFewSubjects) || !strings.Contains(err.Error(), "the validation set has 0, but 4 are needed") {
		t.Errorf("all fixed to training: %v", err)
	}
	for n := range c.Subjects {
		c.Subjects[n].Set = []string{"train", "validation"}[n%2]
	}
	c.Subjects[3].Set = ""
	for n := range 4 {
		c.Subjects[n*5+1].Set = "test"
	}
	if _, err = c.Split(1, 0.2, 0); err == nil || !strings.Contains(err.Error(), "leaves A003 without one") {
		t.Errorf("a subject without a set: %v", err)
	}
}

func TestSplitRefuses(t *testing.T) {
	for _, c := range []struct {
		cohort           *Cohort
		validation, test float64
		kind             error
		says             string
	}{
		{made(2, 1), 0.3, 0, ErrTooFewSubjects, "3, but 8 are needed: at least 4 in each set"},
		{made(6, 5), 0.3, 0.3, ErrTooFewSubjects, "11, but 12 are needed"},
		{made(20, 2), 0.3, 0, ErrTooFewSubjects, "2 of class B, but 3 are needed: at least 2 to train on and 1 in each other set"},
		{made(20, 3), 0.3, 0.3, ErrTooFewSubjects, "3 of class B, but 4 are needed"},
		{made(10, 10), 0, 0, nil, "leave nothing"},
		{made(10, 10), 0.5, 0.5, nil, "leave nothing"},
		{made(10, 10), math.NaN(), 0, nil, "leave nothing"},
	} {
		_, err := c.cohort.Split(1, c.validation, c.test)
		if err == nil || c.kind != nil && !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%d subjects, shares %g %g: error %v, want %q", len(c.cohort.Subjects), c.validation, c.test, err, c.says)
		}
	}
}

// withSites gives the subjects of a cohort sites, drawn with the given shares
// within each class from a stream.
func withSites(c *Cohort, seed uint64, sites int) *Cohort {
	stream := stat.NewStream(seed, "test sites")
	for n := range c.Subjects {
		// Sites of very different sizes: the k-th is drawn half as often as the one before.
		site := 0
		for site < sites-1 && stream.Float64() < 0.5 {
			site++
		}
		c.Subjects[n].Site = string(rune('P' + site))
	}
	return c
}

// By label and site at once: a partition with the class sizes of the plain split,
// and in every set less than two subjects more or less of each class at each site
// than the class's share would give, which is the bound for three sets cut one
// after the other. A site in all is off by less than two as well.
func TestSplitStratifiedBySite(t *testing.T) {
	worst := 0.0
	for seed := range uint64(100) {
		for _, counts := range [][]int{{32, 19}, {60, 40, 30}, {25, 25, 25, 25}} {
			c := withSites(made(counts...), seed, 4)
			s, err := c.SplitBy(seed, SplitOptions{Validation: 0.25, Test: 0.15, Stratify: []string{"label", "site"}})
			if err != nil {
				t.Fatal(err)
			}
			plain, err := c.Split(seed, 0.25, 0.15)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[int]bool{}
			for set, members := range [][]int{s.Train, s.Validation, s.Test} {
				if got, want := fmt.Sprint(c.count(members)), fmt.Sprint(c.count([][]int{plain.Train, plain.Validation, plain.Test}[set])); got != want {
					t.Fatalf("set %d has %s of the classes, the plain split %s", set, got, want)
				}
				for _, n := range members {
					seen[n] = true
				}
				worst = max(worst, offSite(t, c, members))
			}
			if len(seen) != len(c.Subjects) {
				t.Fatalf("%d of %d subjects are in a set", len(seen), len(c.Subjects))
			}
		}
	}
	if !(worst < 2) {
		t.Errorf("a site is off by %g subjects", worst)
	}
}

// offSite holds the cells of a set to less than one subject, and returns by how
// many subjects a site is off at most.
func offSite(t *testing.T, c *Cohort, members []int) (worst float64) {
	cells, inSet := map[string]int{}, map[string]int{}
	cell := func(n int) string { return fmt.Sprint(c.Subjects[n].Class, c.Subjects[n].Site) }
	for n := range c.Subjects {
		cells[cell(n)]++
	}
	for _, n := range members {
		inSet[cell(n)]++
	}
	off := map[string]float64{}
	all := make([]int, len(c.Subjects))
	for n := range all {
		all[n] = n
	}
	for name, count := range cells {
		class := int(name[0] - '0')
		exact := float64(count) * float64(c.count(members)[class]) / float64(c.count(all)[class])
		difference := float64(inSet[name]) - exact
		if !(math.Abs(difference) < 2) {
			t.Errorf("%d of class and site %s, the class's share gives %.2f", inSet[name], name, exact)
		}
		off[name[1:]] += difference
	}
	for _, difference := range off {
		worst = max(worst, math.Abs(difference))
	}
	return worst
}

func TestSplitByColumn(t *testing.T) {
	c := made(30, 30)
	for n := range c.Subjects {
		c.Subjects[n].Covariates = map[string]string{"sex": []string{"f", "m", "m"}[n%3]}
	}
	s, err := c.SplitBy(3, SplitOptions{Validation: 0.2, Stratify: []string{"label", "sex"}})
	if err != nil {
		t.Fatal(err)
	}
	women := 0
	for _, n := range s.Validation {
		if c.Subjects[n].Covariates["sex"] == "f" {
			women++
		}
	}
	if women != 4 || len(s.Validation) != 12 { // a fifth of 20 women and of 60 subjects
		t.Errorf("%d women of %d", women, len(s.Validation))
	}
	for key, says := range map[string]string{"age": "which no subject has", "site": "which no subject has"} {
		if _, err := c.SplitBy(1, SplitOptions{Validation: 0.2, Stratify: []string{key}}); !errors.Is(err, ErrColumn) || !strings.Contains(err.Error(), says) {
			t.Errorf("by %s: %v", key, err)
		}
	}
	for n := range c.Subjects {
		c.Subjects[n].Covariates["sex"] = fmt.Sprint(n)
	}
	if _, err := c.SplitBy(1, SplitOptions{Validation: 0.2, Stratify: []string{"sex"}}); !errors.Is(err, ErrTooFewSubjects) || !strings.Contains(err.Error(), "into 60 groups") {
		t.Errorf("by a number: %v", err)
	}
}

func TestLeaveOneSiteOut(t *testing.T) {
	c := withSites(made(40, 40), 1, 3)
	c.Subjects[0].Site, c.Subjects[1].Site = "P+Q", "Q"
	s, err := c.SplitBy(1, SplitOptions{Validation: 0.25, LeaveOut: "Q"})
	if err != nil {
		t.Fatal(err)
	}
	for n, subject := range c.Subjects {
		if (strings.Contains(subject.Site, "Q")) != slices.Contains(s.Test, n) {
			t.Errorf("%s of site %s: in the test set %v", subject.ID, subject.Site, slices.Contains(s.Test, n))
		}
	}
	if rest := len(s.Train) + len(s.Validation); rest+len(s.Test) != 80 || !(math.Abs(float64(len(s.Validation))-0.25*float64(rest)) <= 0.5) {
		t.Errorf("%d train, %d validation", len(s.Train), len(s.Validation))
	}
	if _, err := c.SplitBy(1, SplitOptions{Validation: 0.25, LeaveOut: "X"}); !errors.Is(err, ErrColumn) || !strings.Contains(err.Error(), "(sites: P, Q, R)") {
		t.Errorf("a site that is none: %v", err)
	}
	c.Subjects[1].Set = "train"
	if _, err := c.SplitBy(1, SplitOptions{Validation: 0.25, LeaveOut: "Q"}); !errors.Is(err, ErrSubjectInTwoSets) || !strings.Contains(err.Error(), "A001 is in test by split.leave_out") {
		t.Errorf("against the table: %v", err)
	}
}

func TestSplitByFold(t *testing.T) {
	c := made(20, 20)
	for n := range c.Subjects {
		c.Subjects[n].Fold = fmt.Sprint(n % 5)
	}
	c.Subjects[7].Set, c.Subjects[8].Set, c.Subjects[27].Set, c.Subjects[28].Set = "test", "test", "test", "test"
	s, err := c.SplitBy(1, SplitOptions{Validation: 0.25, Fold: "3"})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(s.Validation) != "[3 13 18 23 33 38]" || fmt.Sprint(s.Test) != "[7 8 27 28]" || len(s.Train) != 30 {
		t.Errorf("%v", s)
	}
	if _, err := c.SplitBy(1, SplitOptions{Validation: 0.25, Fold: "9"}); !errors.Is(err, ErrColumn) || !strings.Contains(err.Error(), "(folds: 0, 1, 2 and 2 more)") {
		t.Errorf("a fold that is none: %v", err)
	}
	c.Duplicates = []Duplicate{{Subjects: [2]int{0, 3}, Paths: [2]string{"x/a.nii", "x/b.nii"}}}
	if _, err := c.SplitBy(1, SplitOptions{Validation: 0.25, Fold: "3"}); !errors.Is(err, ErrDuplicateImage) || !strings.Contains(err.Error(), "a.nii of subject A000, in train, and b.nii of subject A003, in validation") {
		t.Errorf("an image in two folds: %v", err)
	}
	c.Duplicates = nil
	c.Subjects[0].Fold = ""
	if _, err := c.SplitBy(1, SplitOptions{Validation: 0.25, Fold: "3"}); err == nil || !strings.Contains(err.Error(), "leaves A000 without one") {
		t.Errorf("a subject without a fold: %v", err)
	}
}

// Subjects who share an image are in one set, whatever the seed.
func TestDuplicatesStayTogether(t *testing.T) {
	apart := 0
	for seed := range uint64(50) {
		c := made(20, 20)
		if s, err := c.Split(seed, 0.25, 0.2); err != nil || setOf(s, 3) != setOf(s, 25) {
			apart++
		}
		c.Duplicates = []Duplicate{{Subjects: [2]int{3, 25}}, {Subjects: [2]int{3, 7}}}
		s, err := c.Split(seed, 0.25, 0.2)
		if err != nil {
			t.Fatal(err)
		}
		if a, b, d := setOf(s, 3), setOf(s, 25), setOf(s, 7); a != b || a != d {
			t.Errorf("seed %d: sets %d, %d, %d", seed, a, b, d)
		}
		c.Subjects[25].Set = "test"
		c.Subjects[26].Set, c.Subjects[5].Set, c.Subjects[6].Set = "test", "test", "test"
		if s, err = c.Split(seed, 0.25, 0); err != nil || setOf(s, 3) != 2 || setOf(s, 7) != 2 {
			t.Errorf("seed %d: beside a fixed one: %v, %v", seed, s, err)
		}
		folds, err := c.Folds(seed, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range folds {
			if slices.Contains(f.Validation, 3) != slices.Contains(f.Validation, 7) {
				t.Errorf("seed %d: in two folds", seed)
			}
		}
	}
	if apart < 15 {
		t.Errorf("only %d of 50 splits put the two apart by chance: the test tells little", apart)
	}
}

func setOf(s Split, n int) int {
	return slices.IndexFunc([][]int{s.Train, s.Validation, s.Test}, func(members []int) bool { return slices.Contains(members, n) })
}

// Folds are a partition; sizes, classes and classes at sites differ by at most
// one subject between folds, which is the best that whole subjects allow.
func TestFolds(t *testing.T) {
	for seed := range uint64(30) {
		c := withSites(made(33, 20, 17), seed, 3)
		for _, stratify := range [][]string{nil, {"label", "site"}} {
			folds, err := c.Folds(seed, 4, stratify...)
			if err != nil {
				t.Fatal(err)
			}
			validated := make([]int, len(c.Subjects))
			cells := map[string][]int{}
			for k, f := range folds {
				for _, n := range f.Validation {
					validated[n]++
					s := c.Subjects[n]
					for _, cell := range []string{"all", fmt.Sprint("class ", s.Class), fmt.Sprint("class ", s.Class, " site ", s.Site)} {
						if strings.Contains(cell, "site") && stratify == nil {
							continue
						}
						if cells[cell] == nil {
							cells[cell] = make([]int, len(folds))
						}
						cells[cell][k]++
					}
				}
				if len(f.Train)+len(f.Validation) != len(c.Subjects) || !slices.IsSorted(f.Train) || slices.ContainsFunc(f.Validation, func(n int) bool { return slices.Contains(f.Train, n) }) {
					t.Fatalf("fold %d: %v", k, f)
				}
			}
			if slices.Max(validated) != 1 || slices.Min(validated) != 1 {
				t.Fatal("the folds are no partition")
			}
			for cell, counts := range cells {
				if slices.Max(counts)-slices.Min(counts) > 1 {
					t.Errorf("seed %d: %s has %v in the folds", seed, cell, counts)
				}
			}
		}
	}
	c := made(20, 20)
	first, _ := c.Folds(1, 5)
	again, _ := c.Folds(1, 5)
	other, _ := c.Folds(2, 5)
	if fmt.Sprint(first) != fmt.Sprint(again) || fmt.Sprint(first) == fmt.Sprint(other) {
		t.Error("folds do not follow the seed")
	}
	for k, says := range map[int]string{1: "the number of folds", 41: "the number of folds", 20: "the validation set has 2, but 4 are needed"} {
		if _, err := c.Folds(1, k); !errors.Is(err, ErrTooFewSubjects) || !strings.Contains(err.Error(), says) {
			t.Errorf("%d folds: %v", k, err)
		}
	}
}

// Each subject is tested once; training and validation share the rest, each class
// in proportion, and what the table keeps for testing is in no set.
func TestNestedFolds(t *testing.T) {
	for seed := range uint64(20) {
		c := withSites(made(33, 20, 17), seed, 3)
		kept := []int{4, 11, 40, 60}
		for _, n := range kept {
			c.Subjects[n].Set = "test"
		}
		c.Subjects[12].Set = "train"
		folds, err := c.NestedFolds(seed, 4, 0.25, "label", "site")
		if err != nil {
			t.Fatal(err)
		}
		plain, err := c.Folds(seed, 4, "label", "site")
		if err != nil {
			t.Fatal(err)
		}
		tested := make([]int, len(c.Subjects))
		for k, f := range folds {
			if !slices.Equal(f.Test, plain[k].Validation) {
				t.Fatalf("fold %d is %v, that of Folds %v", k, f.Test, plain[k].Validation)
			}
			seen := map[int]int{}
			for _, n := range kept {
				seen[n] = 1
			}
			for _, n := range slices.Concat(f.Train, f.Validation, f.Test) {
				seen[n]++
			}
			for n := range c.Subjects {
				if seen[n] != 1 {
					t.Fatalf("fold %d: subject %d is in %d sets", k, n, seen[n])
				}
			}
			for _, n := range f.Test {
				tested[n]++
			}
			all, validated := c.count(slices.Concat(f.Train, f.Validation)), c.count(f.Validation)
			for class := range all {
				if share := float64(validated[class]) / float64(all[class]); share < 0.18 || share > 0.33 {
					t.Errorf("fold %d validates on %d of %d of class %d", k, validated[class], all[class], class)
				}
			}
		}
		for n, times := range tested {
			if (times == 0) != slices.Contains(kept, n) || times > 1 {
				t.Errorf("subject %d is tested %d times", n, times)
			}
		}
	}
	c := made(20, 20)
	first, _ := c.NestedFolds(1, 5, 0.25)
	again, _ := c.NestedFolds(1, 5, 0.25)
	other, _ := c.NestedFolds(2, 5, 0.25)
	if fmt.Sprint(first) != fmt.Sprint(again) || fmt.Sprint(first) == fmt.Sprint(other) {
		t.Error("folds do not follow the seed")
	}
	if fmt.Sprint(first[0].Validation) == fmt.Sprint(first[1].Validation) {
		t.Error("two folds validate on the same subjects")
	}
	if _, err := made(5, 5).NestedFolds(1, 2, 0.25); !errors.Is(err, ErrTooFewSubjects) {
		t.Errorf("five subjects to train and validate on: %v", err)
	}
	if _, err := c.NestedFolds(1, 5, 0); err == nil {
		t.Error("nothing to validate on passed")
	}
}

// Subjects who share an image are tested together, and validated on or trained on
// together.
func TestNestedFoldsKeepDuplicatesTogether(t *testing.T) {
	for seed := range uint64(30) {
		c := made(24, 24)
		c.Duplicates = []Duplicate{{Subjects: [2]int{1, 30}}, {Subjects: [2]int{5, 6}}}
		folds, err := c.NestedFolds(seed, 4, 0.3)
		if err != nil {
			t.Fatal(err)
		}
		for k, f := range folds {
			for _, set := range [][]int{f.Train, f.Validation, f.Test} {
				for _, d := range c.Duplicates {
					if slices.Contains(set, d.Subjects[0]) != slices.Contains(set, d.Subjects[1]) {
						t.Errorf("seed %d, fold %d parts %v", seed, k, d.Subjects)
					}
				}
			}
		}
	}
}
