package diagnosis

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Text writes the report for a terminal of the given width (at least 40
// columns are used), with ANSI colours if asked. It returns the first error of
// writing.
func (r *Report) Text(w io.Writer, width int, colour bool) error {
	t := &text{Writer: bufio.NewWriter(w), width: max(40, width), colour: colour}
	for _, sentence := range r.Summary {
		t.wrap("", sentence)
	}
	t.jitter(r)
	t.budget(r)
	t.findings(r)
	t.missing(r)
	t.notes(r)
	return t.Flush()
}

// text lays lines out; its writer keeps the first error.
type text struct {
	*bufio.Writer
	width  int
	colour bool
}

func (t *text) line(format string, arguments ...any) {
	fmt.Fprintln(t, strings.TrimRight(fmt.Sprintf(format, arguments...), " "))
}

func (t *text) heading(title string) {
	t.line("")
	t.line("%s", t.paint("1", title))
}

// paint wraps a text in an ANSI style.
func (t *text) paint(style, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// wrap writes a paragraph after a prefix, continued under its own start. A
// number is never parted from its per cent sign.
func (t *text) wrap(prefix, paragraph string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(prefix))
	line, used := prefix, false
	for _, word := range strings.Split(strings.ReplaceAll(paragraph, " %", "\u00a0%"), " ") {
		if used && visible(line)+1+visible(word) > t.width {
			t.line("%s", line)
			line, used = indent, false
		}
		if used {
			line += " "
		}
		line += strings.ReplaceAll(word, "\u00a0", " ")
		used = true
	}
	t.line("%s", line)
}

// visible is the number of columns of a text without its ANSI styles.
func visible(s string) int {
	columns, style := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			style = true
		case style:
			style = r != 'm'
		default:
			columns++
		}
	}
	return columns
}

// value writes a number in a field of the given width, "-" when unknown.
func value(x Number, width, digits int) string {
	if !x.Known() {
		return fmt.Sprintf("%*s", width, "-")
	}
	return fmt.Sprintf("%*.*f", width, digits, float64(x))
}

func (t *text) jitter(r *Report) {
	if len(r.Jitter) == 0 {
		return
	}
	t.heading("Jitter of the validation curve, epoch to epoch (95 % interval)")
	for _, m := range measures {
		j, ok := r.Jitter[m.id]
		if !ok {
			continue
		}
		digits, unit := 1, "points"
		switch j.Unit {
		case Nats:
			digits, unit = 3, "nats"
		case Units:
			digits, unit = 3, ""
		}
		interval := ""
		if j.Low.Known() && j.High.Known() {
			interval = fmt.Sprintf("(%s to %s)", value(j.Low, 0, digits), value(j.High, 0, digits))
		}
		t.line("  %-18s %s %-6s %s", strings.ReplaceAll(m.id, "_", " "), value(j.Points, 7, digits), unit, interval)
	}
}

// The styles of the verdicts.
var verdictStyle = map[string]string{Confirmed: "1;31", Likely: "31", Possible: "33", CannotTell: "36", RuledOut: "32"}

// budget draws one bar per source; a bar to the left of the axis would be a
// negative share and is drawn in light shade instead. A share whose interval is
// too wide to act on has no bar and no number.
func (t *text) budget(r *Report) {
	if len(r.Budget) == 0 {
		return
	}
	t.heading("Where it comes from (share of the variance, 95 % interval, points)")
	columns := max(len("cannot tell"), min(40, t.width-58))
	for _, s := range r.Budget {
		share, points, bar, style := value(100*s.Share, 4, 0)+" %", value(s.Points, 6, 1), bars(float64(s.Share), columns), "36"
		if !s.Decides() {
			share, points, bar, style = "     -", "     -", "cannot tell", verdictStyle[CannotTell]
		}
		t.line("  %-22s %s %s (%s to %s)%s", s.Source, t.paint(style, bar)+strings.Repeat(" ", columns-utf8.RuneCountInString(bar)),
			share, value(100*s.Low, 4, 0), value(100*s.High, 4, 0), points)
	}
	if r.Infinite.Points.Known() {
		interval := ""
		if r.Infinite.Low.Known() {
			interval = fmt.Sprintf(" (95 %% interval %s to %s)", value(r.Infinite.Low, 0, 1), value(r.Infinite.High, 0, 1))
		}
		t.wrap("  ", fmt.Sprintf("Infinitely many validation subjects would show a jitter of %s points%s.", value(r.Infinite.Points, 0, 1), interval))
	}
}

// bars draws a share of one in eighths of a column; a negative share in light
// shade.
func bars(share float64, columns int) string {
	if math.IsNaN(share) {
		return ""
	}
	eighths := int(math.Round(math.Min(1, math.Abs(share)) * 8 * float64(columns)))
	if share < 0 {
		return strings.Repeat("░", (eighths+7)/8)
	}
	bar := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		bar += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return bar
}

// findings writes what is likely or confirmed and stands by itself in full, what
// follows from it in a line each, what is possible in full, and of all other causes
// the ids.
func (t *text) findings(r *Report) {
	heading := ""
	for _, f := range r.ForReading() {
		title := "Found"
		switch {
		case f.Verdict == Possible:
			title = "Possible"
		case !f.sure():
			continue
		case f.Because != "":
			title = "Follows from what was found"
		}
		if title != heading {
			heading = title
			t.heading(title)
		}
		t.finding(f)
	}
	t.untold(r)
	t.ids("Ruled out", r.withVerdict(RuledOut))
}

// finding writes one finding, and one that follows from another in short.
func (t *text) finding(f Finding) {
	verdict := t.paint(verdictStyle[f.Verdict], f.Verdict)
	if f.Severity > 0 {
		verdict += fmt.Sprintf(", %.1f points of %s", f.Severity, f.Of)
	}
	if f.Because != "" {
		verdict += "; follows from: " + Title(f.Because)
	}
	t.wrap("  ", t.paint("1", f.Title)+": "+verdict)
	if f.Because != "" {
		return
	}
	for _, evidence := range f.Evidence {
		t.wrap("    - ", evidence.Text)
	}
	t.treatment(f.Treatment)
}

func (t *text) treatment(treatment Treatment) {
	if treatment.Text == "" {
		return
	}
	t.wrap("    > ", treatment.Text)
	if settings := treatment.settings(); len(settings) > 0 {
		t.wrap("      ", "--set "+strings.Join(settings, " --set "))
	}
}

// ids lists causes that need no more words; ballast explain ID has them.
func (t *text) ids(title string, findings []Finding) {
	if len(findings) == 0 {
		return
	}
	t.heading(title)
	var ids []string
	for _, f := range findings {
		ids = append(ids, f.ID)
	}
	t.wrap("  ", strings.Join(ids, ", "))
}

// untold lists the causes that cannot be told, and what would tell them: experiments,
// or what to record.
func (t *text) untold(r *Report) {
	findings := r.withVerdict(CannotTell)
	t.ids("Cannot tell", findings)
	if sentence := r.WouldDecide(); sentence != "" {
		t.wrap("  ", sentence)
	}
	var said []string
	for _, f := range findings {
		if text := f.Treatment.Text; text != "" && !slices.Contains(said, text) && len(f.Probes) == 0 {
			said = append(said, text)
			t.wrap("  > ", text)
		}
	}
}

// settings lists the plan difference as key=value, in the order of the keys.
func (t Treatment) settings() []string {
	var settings []string
	for key, value := range t.Plan {
		settings = append(settings, fmt.Sprintf("%s=%v", key, value))
	}
	slices.Sort(settings)
	return settings
}

// missing lists what would decide more about the curves of another trainer.
func (t *text) missing(r *Report) {
	if r.Curves == nil || len(r.Curves.Missing) == 0 {
		return
	}
	t.heading("Not said, and what it would decide")
	for _, m := range r.Curves.Missing {
		t.wrap(fmt.Sprintf("  %-15s ", m.Option), m.Decides)
	}
}

func (t *text) notes(r *Report) {
	if len(r.Notes) == 0 {
		return
	}
	t.heading("Notes")
	for _, note := range r.Notes {
		t.wrap("  - ", note)
	}
}
