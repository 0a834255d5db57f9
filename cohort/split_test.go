package cohort

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
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
