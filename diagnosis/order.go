package diagnosis

import (
	"cmp"
	"fmt"
	"slices"
)

// causeOf returns the cause with an id, nil where there is none.
func causeOf(id string) *Cause {
	for _, c := range slices.Concat(Causes, CurveCauses()) {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// Title is the title of the cause with an id, or the id where there is none.
func Title(id string) string {
	if c := causeOf(id); c != nil {
		return c.Title
	}
	return id
}

// sure reports whether the verdict is likely or confirmed.
func (f *Finding) sure() bool { return f.Verdict == Confirmed || f.Verdict == Likely }

// kindOf is the kind of the finding's cause.
func kindOf(f *Finding) kind {
	if c := causeOf(f.ID); c != nil {
		return c.Kind
	}
	return reading
}

// isMistake reports whether the finding is of a mistake of the program or the plan.
func isMistake(f *Finding) bool { return kindOf(f) == mistake }

// leans reports whether the verdict is possible or surer.
func (f *Finding) leans() bool { return f.sure() || f.Verdict == Possible }

// relate marks the findings that follow from another one that is likely or
// confirmed. Of two that bring each other about, the one listed first stands.
func relate(findings []Finding, causes []*Cause) {
	at := map[string]*Finding{}
	for i := range findings {
		at[findings[i].ID] = &findings[i]
	}
	for _, cause := range causes {
		root := at[cause.ID]
		if root == nil || !root.sure() || root.Because != "" {
			continue
		}
		for _, id := range cause.Brings {
			if f := at[id]; f != nil && f.leans() && f.Because == "" && !follows(at, root, id) {
				f.Because = cause.ID
			}
		}
	}
}

// follows reports whether a finding follows from the one with the id, directly or not.
func follows(at map[string]*Finding, f *Finding, id string) bool {
	for f != nil && f.Because != "" {
		if f.Because == id {
			return true
		}
		f = at[f.Because]
	}
	return false
}

// ForReading returns the findings in the order in which a person reads them: what
// is likely or confirmed and stands by itself, mistakes before a network that does not
// suit its subjects before limits of the cohort before readings of the curve; then what
// follows from it; then what is possible, cannot be told and is ruled out. Within each
// of these the surest first, and what makes the curve jump before what costs something
// else.
func (r *Report) ForReading() []Finding {
	group := func(f *Finding) int {
		switch {
		case f.sure() && f.Because == "":
			return 0
		case f.sure():
			return 1
		}
		return 1 + slices.Index(verdictOrder, f.Verdict)
	}
	elsewhere := func(f *Finding) int {
		if f.Of == "jitter" {
			return 0
		}
		return 1
	}
	findings := slices.Clone(r.Findings)
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(group(&a), group(&b)),
			cmp.Compare(kindOf(&a), kindOf(&b)),
			cmp.Compare(slices.Index(verdictOrder, a.Verdict), slices.Index(verdictOrder, b.Verdict)),
			cmp.Compare(elsewhere(&a), elsewhere(&b)),
		)
	})
	return findings
}

// withVerdict returns the findings of one verdict, in the order of the report.
func (r *Report) withVerdict(verdict string) []Finding {
	var findings []Finding
	for _, f := range r.Findings {
		if f.Verdict == verdict {
			findings = append(findings, f)
		}
	}
	return findings
}

// WouldDecide says how many causes experiments would decide that were not made; ""
// where there are none, as of the run of another program.
func (r *Report) WouldDecide() string {
	untold, decidable := r.withVerdict(CannotTell), 0
	for _, f := range untold {
		if len(f.Probes) > 0 {
			decidable++
		}
	}
	if decidable == 0 {
		return ""
	}
	return fmt.Sprintf("%s cannot be told from the record; experiments would decide %d of them: ballast diagnose RUN --probe", counted(len(untold), "cause"), decidable)
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
