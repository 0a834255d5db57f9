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
	cause := causes[at]
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n\n%s\n\nIts severity is measured in points of %s.\n",
		cause.Title, filled(cause.Explain, textWidth(c.OutOrStdout())), cause.Of)
	return true, err
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
