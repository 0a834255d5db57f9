package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ballast/diagnosis"
	"ballast/stat"
)

// explainCause prints what a cause is when the only argument is its id and no
// such folder exists, and the ids without arguments. It returns an error for a
// single argument that is neither a run to go with --cohort nor a cause.
func explainCause(c *cobra.Command, args []string, fromCohort bool) (done bool, err error) {
	if len(args) == 0 && !fromCohort {
		return true, listCauses(c.OutOrStdout())
	}
	if len(args) == 0 {
		return true, fmt.Errorf("%w: %s needs a run beside --cohort; %s --help shows an example", errUsage, c.CommandPath(), c.CommandPath())
	}
	if len(args) > 1 || fromCohort {
		return false, nil
	}
	if _, err := os.Stat(args[0]); err == nil {
		return true, fmt.Errorf("%w: %s needs an image beside the run, or --cohort and --subject; %s --help shows an example", errUsage, c.CommandPath(), c.CommandPath())
	}
	causes := allCauses()
	at := slices.IndexFunc(causes, func(cause *diagnosis.Cause) bool { return cause.ID == args[0] })
	if at < 0 {
		return true, fmt.Errorf("%w: %q is neither a run nor a cause%s; %s alone lists the causes", errUsage, args[0], nearestCause(args[0]), c.CommandPath())
	}
	_, err = io.WriteString(c.OutOrStdout(), causeText(causes[at], textWidth(c.OutOrStdout())))
	return true, err
}

// causeText says what a cause is, how it is detected, how reliable that is, and what
// to do.
func causeText(cause *diagnosis.Cause, width int) string {
	var text strings.Builder
	section := func(head, body string) {
		fmt.Fprintf(&text, "\n%s\n%s\n", head, filled(body, width))
	}
	fmt.Fprintf(&text, "%s\n\n%s\n\nIts severity is measured in points of %s.\n", cause.Title, filled(cause.Explain, width), cause.Of)
	guide, known := diagnosis.GuideOf(cause.ID)
	if known {
		section("How it is detected", guide.Detected)
	}
	if len(cause.Probes) > 0 {
		section("Experiments that decide it", strings.Join(cause.Probes, ", ")+": ballast diagnose RUN --probe makes them.")
	}
	fmt.Fprintf(&text, "\nHow reliable that is\n%s", reliabilityText(cause.ID, width))
	if known {
		section("What to do", guide.Cure)
	}
	return text.String()
}

// reliabilityText is a table of the rates that were measured of a cause.
func reliabilityText(id string, width int) string {
	r, known := diagnosis.ReliabilityOf(id)
	if !known {
		return filled("It is judged from the curves of a log; docs/logs.md says how often verdicts from curves are right.", width) + "\n"
	}
	var text strings.Builder
	row := func(name, alone, probed string) { fmt.Fprintf(&text, "%-38s  %-21s  %s\n", name, alone, probed) }
	row("", "from the record", "with experiments")
	for _, line := range []struct {
		name string
		of   func(diagnosis.Rates) (part, whole int)
	}{
		{"planted: called likely or confirmed", func(r diagnosis.Rates) (int, int) { return r.Sure, r.Planted }},
		{"planted: first or second finding", func(r diagnosis.Rates) (int, int) { return r.Second, r.Planted }},
		{"true, not planted: called so", func(r diagnosis.Rates) (int, int) { return r.TrueSure, r.True }},
		{"clean runs: called so falsely", func(r diagnosis.Rates) (int, int) { return r.CleanFalse, r.Clean }},
		{"runs with other causes: falsely", func(r diagnosis.Rates) (int, int) { return r.OtherFalse, r.Other }},
	} {
		row(line.name, shareOf(line.of(r.Alone)), shareOf(line.of(r.Probed)))
	}
	if r.Alone.Planted == 0 {
		text.WriteString(filled("It was never planted by itself.", width) + "\n")
	}
	text.WriteString(filled("Measured on trained phantoms of known truth (docs/reliability-of-diagnosis.md).", width) + "\n")
	return text.String()
}

// shareOf writes a count of runs.
func shareOf(part, whole int) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d (%.0f %%)", part, whole, 100*float64(part)/float64(whole))
}

// allCauses are the causes that are judged from a run, and those that are judged
// from the curves of a log only.
func allCauses() []*diagnosis.Cause {
	return slices.Concat(diagnosis.Causes, diagnosis.CurveCauses())
}

// listCauses prints the id and the title of every cause.
func listCauses(w io.Writer) error {
	longest := 0
	for _, cause := range allCauses() {
		longest = max(longest, len(cause.ID))
	}
	var text strings.Builder
	for _, cause := range allCauses() {
		fmt.Fprintf(&text, "%-*s  %s\n", longest, cause.ID, cause.Title)
	}
	text.WriteString("\nballast explain ID says what a cause is; ballast explain RUN IMAGE maps where a network looks.\n")
	_, err := io.WriteString(w, text.String())
	return err
}

// nearestCause suggests an id for a misspelt one.
func nearestCause(word string) string {
	best, least := "", len(word)/2+1
	for _, cause := range allCauses() {
		if d := stat.EditDistance(word, cause.ID); d < least {
			best, least = cause.ID, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// filled breaks a text into lines at its spaces.
func filled(text string, width int) string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		last := len(lines) - 1
		if last >= 0 && len([]rune(lines[last]))+1+len([]rune(word)) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return strings.Join(lines, "\n")
}
