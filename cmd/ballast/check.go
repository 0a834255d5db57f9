package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"

	"github.com/spf13/cobra"

	"ballast/audit"
	"ballast/cohort"
	"ballast/train"
	"ballast/web"
)

// exitFindings is the exit code of `ballast check --fail-on` when there is a
// finding of that level or worse.
const exitFindings = 3

// errFindings is wrapped by the complaint of --fail-on.
var errFindings = errors.New("findings")

func checkCommand() *cobra.Command {
	var f planFlags
	var j checkJob
	var failOn string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check COHORT",
		Short: "Look for duplicates, shortcuts and other faults of a cohort before training",
		Long: "Check reads every image of a cohort once and reports what would spoil a training: files that\n" +
			"cannot be read, the same image under two patients or in two sets, labels that the scanner or\n" +
			"the brightness gives away, empty masks, classes too small; and says what a validation set of\n" +
			"this size can show and which plan fits. Nothing is written but the HTML page asked for.\n\n" +
			"Exit codes: 0 checked; 1 the cohort cannot be read; 2 wrong command line; 3 with --fail-on,\n" +
			"a finding of that level or worse.",
		Example: "  ballast check COHORT\n" +
			"  ballast check COHORT --html check.html\n" +
			"  ballast check COHORT --json | jq '.findings[].id'\n" +
			"  ballast check COHORT --fail-on warning --quiet   # in CI",
		Args: exactly(1, "one cohort (a folder or a table)"),
		RunE: func(c *cobra.Command, args []string) error {
			limit, err := failLevel(failOn, c.Flags().Changed("fail-on"))
			if err != nil {
				return err
			}
			if j.plan, err = f.plan(c); err != nil {
				return err
			}
			j.stderr = c.ErrOrStderr()
			report, err := j.check(c.Context(), args[0])
			if err != nil {
				return err
			}
			if err := showCheck(c.OutOrStdout(), report, asJSON); err != nil {
				return err
			}
			if failOn != "" && report.Worst() >= limit {
				return fmt.Errorf("%w: %s in %s (--fail-on %s)", errFindings, report.Counts(), args[0], failOn)
			}
			return nil
		},
	}
	f.addData(c)
	j.add(c)
	c.Flags().StringVar(&j.html, "html", "", "also write a one-file report with pictures")
	c.Flags().StringVar(&failOn, "fail-on", "", "exit with 3 when there is a finding of this level or worse: note, warning or error")
	c.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return c
}

func failLevel(name string, given bool) (level audit.Level, err error) {
	if !given {
		return level, nil
	}
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return level, fmt.Errorf("%w: --fail-on: %w", errUsage, err)
	}
	return level, nil
}

func showCheck(w io.Writer, report *audit.Report, asJSON bool) error {
	if asJSON {
		return printJSON(w, report)
	}
	return report.Text(w, textWidth(w), colourful(w))
}

// A checkJob is one check of a cohort on disk.
type checkJob struct {
	plan    train.Plan // says which columns and which split
	html    string
	threads int
	quiet   bool
	stderr  io.Writer
}

// add adds the flags of commands that read every image.
func (j *checkJob) add(c *cobra.Command) {
	c.Flags().IntVar(&j.threads, "threads", 0, "threads to use; the result does not depend on it (default all)")
	c.Flags().BoolVar(&j.quiet, "quiet", false, "show no progress")
}

// check opens and examines a cohort and writes the page, if one is wanted.
func (j *checkJob) check(ctx context.Context, path string) (*audit.Report, error) {
	options := cohort.Options(j.plan.Data)
	c, err := cohort.Inspect(path, options)
	if errors.Is(err, cohort.ErrColumn) {
		// A table without images still has labels and other columns to look at.
		if table, failed := cohort.OpenTable(path, options); failed == nil {
			c, err = table, nil
		}
	}
	if err != nil {
		return nil, err
	}
	images := 0
	for _, subject := range c.Subjects {
		images += len(subject.Images)
	}
	bar := newTracker(j.stderr, "reading images", j.quiet)
	threads := j.threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	report, err := untilCancelled(ctx, func() (*audit.Report, error) {
		return audit.Check(ctx, c, audit.Options{
			Threads: threads, Seed: j.plan.Seed, Split: j.wishes(), Measured: bar.counter(images), Pictures: j.html != "",
		})
	})
	bar.done()
	if err != nil {
		return nil, err
	}
	if j.html == "" {
		return report, nil
	}
	var page bytes.Buffer
	if err = web.Check(&page, report); err == nil {
		err = writePage(j.html, page.Bytes())
	}
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", j.html, withoutPath(err))
	}
	if !j.quiet {
		fmt.Fprintln(j.stderr, "wrote "+j.html)
	}
	return report, nil
}

// wishes is the split that the user asked for, nil when it is left to be
// proposed.
func (j *checkJob) wishes() *cohort.SplitOptions {
	if reflect.DeepEqual(j.plan.Split, train.DefaultPlan().Split) {
		return nil
	}
	o := j.plan.Split.Options()
	return &o
}
