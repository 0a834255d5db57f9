package audit

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// checkOverlap reports subjects in two sets, and names that may be one subject.
func checkOverlap(s *study, _ *Report) []Finding {
	findings := s.overlap()
	groups := map[string][]int{}
	for n, subject := range s.cohort.Subjects {
		key := plainName(subject.ID)
		groups[key] = append(groups[key], n)
	}
	var lines, ids []string
	across := false
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		members := groups[key]
		if len(members) < 2 || len(members) > mostSpellings {
			continue
		}
		var names []string
		for _, n := range members {
			subject := s.cohort.Subjects[n]
			names = append(names, subject.ID)
			across = across || subject.Set != s.cohort.Subjects[members[0]].Set
		}
		lines = append(lines, strings.Join(names, " and "))
		ids = append(ids, names...)
	}
	if len(lines) == 0 {
		return findings
	}
	f := Finding{
		ID: "similar-subject-names", Level: Note, Subjects: ids,
		Problem: fmt.Sprintf("%s of subjects have names that differ in spelling or by a letter at the end: %s", plural(len(lines), "group"), someOf(lines, "; ")),
		Fix:     "if they are visits of one patient, write the same subject in both rows, or name the column that does with --subject",
	}
	if across {
		f.Level = Warning
		f.Problem += "; some are in different sets"
	}
	return append(findings, f)
}

// overlap reports the subjects that the table puts into two sets.
func (s *study) overlap() []Finding {
	if len(s.cohort.Overlap) == 0 {
		return nil
	}
	return []Finding{{
		ID: "subject-in-two-sets", Level: Error,
		Problem: plural(len(s.cohort.Overlap), "subject") + " in more than one set: " + someOf(s.cohort.Overlap, "; "),
		Fix:     "keep all images of a patient in one set; training refuses this table",
	}}
}

// mostSpellings is how many subjects may share a name but for its end before it
// looks like a naming scheme (group A, group B) rather than visits.
const mostSpellings = 3

var (
	leadingZeros = regexp.MustCompile(`(^|[^0-9])0+([0-9])`)
	lastLetter   = regexp.MustCompile(`([0-9]{3,})[a-z]$`)
	separators   = regexp.MustCompile(`[^a-z0-9]+`)
)

// plainName is what is left of a subject's name without case, separators,
// leading zeros, and a single letter behind at least three digits.
func plainName(id string) string {
	id = strings.ToLower(strings.TrimSpace(id))
	id = leadingZeros.ReplaceAllString(id, "$1$2")
	id = separators.ReplaceAllString(id, "-")
	return lastLetter.ReplaceAllString(strings.Trim(id, "-"), "$1")
}
