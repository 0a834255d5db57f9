package diagnosis

import (
	"cmp"
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

// sure reports whether the verdict is likely or confirmed.
func (f *Finding) sure() bool { return f.Verdict == Confirmed || f.Verdict == Likely }

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
// is likely or confirmed and stands by itself, mistakes before limits of the cohort
// before readings of the curve; then what follows from it; then what is possible,
// cannot be told and is ruled out. Within each of these the surest first, and what
// makes the curve jump before what costs something else.
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
	kindOf := func(f *Finding) kind {
		if c := causeOf(f.ID); c != nil {
			return c.Kind
		}
		return reading
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
