package audit

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Text writes the report for a terminal of the given width: what the cohort is,
// the findings worst first, what can be resolved, and the proposed plan.
func (r *Report) Text(w io.Writer, width int, colour bool) error {
	t := &text{width: max(40, width), colour: colour}
	t.line("%s: %s", r.Cohort, r.Print.Headline())
	for _, line := range r.Print.Lines() {
		t.wrap("  ", "  ", line)
	}
	t.line("")
	if len(r.Findings) == 0 {
		t.line("Nothing found.")
	} else {
		t.line("%s", r.Counts())
	}
	for _, f := range r.Findings {
		t.line("")
		t.wrap(t.paint(f.Level)+" "+f.ID+": ", "  ", f.Problem)
		t.wrap("  fix: ", "       ", f.Fix)
	}
	if len(r.Notes) > 0 {
		t.line("")
		t.line("How the cohort was read")
		for _, note := range r.Notes {
			t.wrap("  ", "  ", note)
		}
	}
	t.line("")
	t.line("What the validation set can show")
	for _, sentence := range r.Resolution.Sentences {
		t.wrap("  ", "  ", sentence)
	}
	t.line("")
	t.line("Proposed plan (ballast init writes it)")
	for _, c := range r.Proposal {
		t.wrap(fmt.Sprintf("  %s: %s  ", c.Key, c.Value), "      ", c.Reason)
	}
	_, err := io.WriteString(w, t.String())
	return err
}

// Counts says how many findings there are of each level: "1 error, 2 warnings".
func (r *Report) Counts() string {
	var parts []string
	for _, level := range []Level{Error, Warning, Note} {
		if n := r.Count(level); n > 0 {
			parts = append(parts, plural(n, level.String()))
		}
	}
	return strings.Join(parts, ", ")
}

// Headline says how much there is: "51 subjects, 51 images, 2 classes (0: 32, 1: 19)".
func (f *Fingerprint) Headline() string {
	var classes []string
	for _, c := range f.Classes {
		classes = append(classes, fmt.Sprintf("%s: %d", c.Name, c.Count))
	}
	return fmt.Sprintf("%s, %s, %s (%s)", plural(f.Subjects, "subject"), plural(f.Images, "image"), plural(len(f.Classes), "class"), strings.Join(classes, ", "))
}

// Lines describes the images in a few lines.
func (f *Fingerprint) Lines() []string {
	if f.Images == f.Unreadable {
		return []string{plural(f.Images, "image") + ", " + f.where()}
	}
	kind := "3D"
	switch f.Flat {
	case 0:
	case f.Images - f.Unreadable:
		kind = "2D"
	default:
		kind = "2D and 3D"
	}
	lines := []string{fmt.Sprintf("%s, %s x %s x %s voxels, spacing %s mm, %s, %s", kind, f.Shape[0], f.Shape[1], f.Shape[2],
		tallies(f.Spacings), tallies(f.Orientations), tallies(f.Encodings))}
	lines = append(lines, fmt.Sprintf("mean intensity %s (median %s), %s, %s",
		f.Intensity, compact(f.Intensity.Median), plural(f.Masks, "mask"), f.where()))
	return lines
}

// where names sites and fixed sets.
func (f *Fingerprint) where() string {
	text := "no sites known"
	if len(f.Sites) > 0 {
		text = plural(len(f.Sites), "site") + " (" + tallies(f.Sites) + ")"
	}
	if len(f.Sets) > 0 {
		text += ", sets " + tallies(f.Sets)
	}
	return text
}

// text is wrapped and coloured text that grows line by line.
type text struct {
	strings.Builder
	width  int
	colour bool
}

func (t *text) line(format string, values ...any) {
	fmt.Fprintf(t, format+"\n", values...)
}

// paint returns the level in its colour.
func (t *text) paint(level Level) string {
	if !t.colour {
		return level.String()
	}
	return map[Level]string{Error: "\x1b[1;31m", Warning: "\x1b[33m", Note: "\x1b[2m"}[level] + level.String() + "\x1b[0m"
}

// wrap writes words after a first indent, further lines after another.
func (t *text) wrap(first, further, words string) {
	line, length := first, visible(first)
	empty := true
	for _, word := range strings.Fields(words) {
		if !empty && length+1+utf8.RuneCountInString(word) > t.width {
			t.line("%s", line)
			line, length, empty = further, visible(further), true
		}
		if !empty {
			line, length = line+" ", length+1
		}
		line, length, empty = line+word, length+utf8.RuneCountInString(word), false
	}
	t.line("%s", line)
}

// visible is the length of a text without colours.
func visible(text string) int {
	length, escape := 0, false
	for _, r := range text {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			length++
		}
	}
	return length
}
