package audit

import (
	"fmt"
	"strings"
)

// A Level says how much a finding weighs, as in nibabel's header checks.
type Level int

const (
	Note    Level = iota // worth knowing
	Warning              // results may mislead; look before training
	Error                // results will mislead, or training will fail
)

var levelNames = [...]string{"note", "warning", "error"}

func (l Level) String() string { return levelNames[l] }

// MarshalText writes the level's name into JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the level's name.
func (l *Level) UnmarshalText(text []byte) error {
	for n, name := range levelNames {
		if string(text) == name {
			*l = Level(n)
			return nil
		}
	}
	return fmt.Errorf("level %q: it can be %s", text, strings.Join(levelNames[:], ", "))
}

// A Finding is one thing that is wrong with a cohort, or worth knowing.
type Finding struct {
	ID       string   `json:"id"` // stable, in words: "site-shortcut"
	Level    Level    `json:"level"`
	Problem  string   `json:"problem"`            // what is so, with its numbers
	Fix      string   `json:"fix"`                // what to do about it
	Subjects []string `json:"subjects,omitempty"` // whom it concerns
	Files    []string `json:"files,omitempty"`    // which files, relative to the cohort
}

// Worst returns the highest level among the findings, Note when there are none.
func (r *Report) Worst() Level {
	worst := Note
	for _, f := range r.Findings {
		worst = max(worst, f.Level)
	}
	return worst
}

// Count returns how many findings are of the level.
func (r *Report) Count(level Level) int {
	count := 0
	for _, f := range r.Findings {
		if f.Level == level {
			count++
		}
	}
	return count
}

// some names the first three and counts the rest.
func some(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}

// plural writes "1 image", "2 images".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "s") {
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
