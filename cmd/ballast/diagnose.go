package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ballast/diagnosis"
	"ballast/run"
	"ballast/web"
)

func diagnoseCommand() *cobra.Command {
	var j diagnosisJob
	var p probeJob
	c := &cobra.Command{
		Use:   "diagnose PATH",
		Short: "Say why the validation curve of a run, or of another trainer's log, fluctuates",
		Long: "Diagnose reads the record of a run and nothing else: it measures the jitter of the\n" +
			"validation curve, divides it among its sources, and judges every cause.\n\n" +
			"--probe first makes experiments with the run's last weights and its images, the cheapest first,\n" +
			"as many as end within --time, and keeps what they measure in the run folder. They decide what\n" +
			"the record alone cannot: docs/probes.md describes each. A second time only those are made that\n" +
			"were left out.\n\n" +
			"PATH may also be the log of another trainer, a file or a folder (docs/logs.md lists the\n" +
			"formats). Its curves alone say less, and --n-validation, --classes and --prevalence more.\n" +
			"A log of several runs gives a table and a report for each; --json a list.\n\n" +
			"Exit codes: 0 diagnosed; 1 PATH cannot be read or is too short; 2 wrong command line; 3 with\n" +
			"--fail-on, a verdict of that level or surer; 130 --probe was interrupted, what it measured is kept.",
		Example: "  ballast diagnose runs/COHORT-1\n" +
			"  ballast diagnose runs/COHORT-1 --html report.html\n" +
			"  ballast diagnose runs/COHORT-1 --probe --time 10m\n" +
			"  ballast diagnose runs/COHORT-1 --json | jq '.findings[0]'\n" +
			"  ballast diagnose training.log --classes 2 --prevalence 0.68\n" +
			"  ballast diagnose lightning_logs --fail-on likely   # in CI",
		Args: exactly(1, "one run folder or log"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := j.check(c); err != nil {
				return err
			}
			if err := p.check(c); err != nil {
				return err
			}
			if p.wanted {
				p.stderr = c.ErrOrStderr()
				if err := p.measure(c.Context(), args[0]); err != nil {
					return err
				}
			}
			return j.diagnose(c, args[0])
		},
	}
	j.add(c)
	p.add(c)
	c.Flags().BoolVar(&j.asJSON, "json", false, "print the diagnosis as JSON")
	c.Flags().StringVar(&j.html, "html", "", "also write a one-file report with figures")
	return c
}

// A diagnosisJob is one diagnosis of a run or of a log.
type diagnosisJob struct {
	options diagnosis.CurveOptions
	name    string // of the run within a log; empty for all
	failOn  string
	asJSON  bool
	html    string
}

// add adds the flags of every command that judges a record.
func (j *diagnosisJob) add(c *cobra.Command) {
	c.Flags().IntVar(&j.options.Validation, "n-validation", 0, "of a log: cases in its validation set (default inferred)")
	c.Flags().IntVar(&j.options.Classes, "classes", 0, "of a log: number of classes")
	c.Flags().Float64Var(&j.options.Prevalence, "prevalence", 0, "of a log: share of the commonest class among the validation cases, such as 0.68")
	c.Flags().StringVar(&j.name, "run", "", "of a log with several runs: the one to diagnose")
	c.Flags().StringVar(&j.failOn, "fail-on", "", "exit with 3 when a verdict is this or surer: possible, likely or confirmed")
}

// check refuses flags that cannot be meant.
func (j *diagnosisJob) check(c *cobra.Command) error {
	if given := c.Flags().Changed("fail-on"); given && !slices.Contains(failVerdicts, j.failOn) {
		return fmt.Errorf("%w: --fail-on is %q; it is one of %s", errUsage, j.failOn, strings.Join(failVerdicts, ", "))
	}
	for _, flag := range []struct {
		name string
		zero bool
	}{{"n-validation", j.options.Validation == 0}, {"classes", j.options.Classes == 0}, {"prevalence", j.options.Prevalence == 0}} {
		if c.Flags().Changed(flag.name) && flag.zero {
			return fmt.Errorf("%w: --%s is 0; leave it out where it is unknown", errUsage, flag.name)
		}
	}
	if err := j.options.Check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return nil
}

// failVerdicts are the verdicts that --fail-on takes, the surest first.
var failVerdicts = []string{diagnosis.Confirmed, diagnosis.Likely, diagnosis.Possible}

// atLeast reports whether a verdict is as sure as a level; "" is no level.
func atLeast(verdict, level string) bool {
	at := slices.Index(failVerdicts, verdict)
	return level != "" && at >= 0 && at <= slices.Index(failVerdicts, level)
}

// A diagnosed is a run or one run of a log with its report.
type diagnosed struct {
	run    *run.Run    // nil for a log
	curves *run.Curves // nil for a run
	report *diagnosis.Report
}

// diagnose opens, judges, writes the page and prints.
func (j *diagnosisJob) diagnose(c *cobra.Command, path string) error {
	note := func(text string) { fmt.Fprintln(c.ErrOrStderr(), "note: "+text) }
	all, err := untilCancelled(c.Context(), func() ([]diagnosed, error) { return j.judge(path, note) })
	if err != nil {
		return err
	}
	if j.html != "" {
		if len(all) > 1 {
			return fmt.Errorf("%w: %s holds %d runs and --html shows one; choose it by --run, such as --run %s", errUsage, path, len(all), quoted(all[0].curves.Name))
		}
		if err := all[0].writePage(j.html); err != nil {
			return err
		}
		fmt.Fprintln(c.ErrOrStderr(), "wrote "+j.html)
	}
	if err := j.show(c.OutOrStdout(), all); err != nil {
		return err
	}
	return j.fail(path, all)
}

// judge opens a run or a log and judges what it holds; at least one report.
func (j *diagnosisJob) judge(path string, note func(string)) ([]diagnosed, error) {
	r, logs, err := openRecord(path)
	if err != nil {
		return nil, err
	}
	if r != nil {
		if j.options != (diagnosis.CurveOptions{}) || j.name != "" {
			note("--n-validation, --classes, --prevalence and --run are for logs; a run says all that itself")
		}
		for _, text := range r.Notes {
			note(text)
		}
		report, err := diagnosis.Diagnose(r)
		if err != nil {
			return nil, fmt.Errorf("diagnose %s: %w", path, err)
		}
		return []diagnosed{{run: r, report: report}}, nil
	}
	if logs, err = j.chosen(path, logs); err != nil {
		return nil, err
	}
	var all []diagnosed
	for _, curves := range logs {
		report, failure := diagnosis.DiagnoseCurves(curves, j.options)
		if failure == nil {
			all = append(all, diagnosed{curves: curves, report: report})
			continue
		}
		err = fmt.Errorf("diagnose %s: %w", runOf(path, curves), failure)
		if len(logs) > 1 {
			note(err.Error())
		}
	}
	if len(all) == 0 {
		return nil, err
	}
	return all, nil
}

// openRecord opens a run of ballast, or else the log of another trainer.
func openRecord(path string) (*run.Run, []*run.Curves, error) {
	r, err := run.Open(path)
	if err == nil || !errors.Is(err, run.ErrNotRun) {
		return r, nil, err
	}
	if _, absent := os.Stat(path); absent != nil {
		return nil, nil, err
	}
	logs, err := run.OpenLog(path)
	if err == nil && len(logs) == 0 {
		err = fmt.Errorf("open %s: %w", path, run.ErrNotLog)
	}
	return nil, logs, err
}

// chosen are the runs of a log that the user wants.
func (j *diagnosisJob) chosen(path string, logs []*run.Curves) ([]*run.Curves, error) {
	if j.name == "" {
		return logs, nil
	}
	var names []string
	for _, curves := range logs {
		if curves.Name == j.name {
			return []*run.Curves{curves}, nil
		}
		names = append(names, strconv.Quote(curves.Name))
	}
	const most = 8
	if len(names) > most {
		names = append(names[:most], "...")
	}
	return nil, fmt.Errorf("%w: %s has no run %q; it has %s", errUsage, path, j.name, strings.Join(names, ", "))
}

func runOf(path string, curves *run.Curves) string {
	if curves.Name == "" {
		return path
	}
	return path + ", " + curves.Name
}

// show prints one report, or a table and a report for each run.
func (j *diagnosisJob) show(w io.Writer, all []diagnosed) error {
	if j.asJSON && len(all) == 1 {
		return printJSON(w, all[0].report)
	}
	if j.asJSON {
		var reports []*diagnosis.Report
		for _, d := range all {
			reports = append(reports, d.report)
		}
		return printJSON(w, reports)
	}
	if len(all) > 1 {
		if err := printRuns(w, all); err != nil {
			return err
		}
	}
	for _, d := range all {
		if len(all) > 1 {
			if _, err := fmt.Fprintf(w, "\n== %s ==\n\n", d.curves.Name); err != nil {
				return err
			}
		}
		if err := d.report.Text(w, textWidth(w), colourful(w)); err != nil {
			return err
		}
	}
	return nil
}

// printRuns prints a line for each run of a log.
func printRuns(w io.Writer, all []diagnosed) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "run\tepochs\tn\tlate accuracy\tjitter\tlikely or confirmed")
	for _, d := range all {
		r := d.report
		jitter := r.Jitter["accuracy"].Points
		var sure []string
		for _, f := range r.ForReading() {
			if atLeast(f.Verdict, diagnosis.Likely) {
				sure = append(sure, f.ID)
			}
		}
		if len(r.Jitter) == 0 || jitter == 0 {
			jitter = diagnosis.Number(math.NaN())
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\n", d.curves.Name, r.Epochs.Recorded, numberOrDash(r.Subjects.Validation),
			withUnit(r.Chance.Accuracy, "%.1f %%"), withUnit(jitter, "%.1f points"), cmp.Or(strings.Join(sure, ", "), "nothing"))
	}
	return table.Flush()
}

func numberOrDash(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func withUnit(x diagnosis.Number, format string) string {
	if !x.Known() {
		return "-"
	}
	return fmt.Sprintf(format, float64(x))
}

// fail is the complaint of --fail-on.
func (j *diagnosisJob) fail(path string, all []diagnosed) error {
	var found []string
	for _, d := range all {
		for _, f := range d.report.ForReading() {
			if text := f.ID + " is " + f.Verdict; atLeast(f.Verdict, j.failOn) && !slices.Contains(found, text) {
				found = append(found, text)
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: %s (--fail-on %s)", errFindings, path, strings.Join(found, ", "), j.failOn)
}

// writePage writes the HTML report of a run or of a log.
func (d *diagnosed) writePage(path string) error {
	if d.run != nil {
		return writeReport(path, d.run, d.report)
	}
	var page bytes.Buffer
	err := web.Curves(&page, d.curves, d.report)
	if err == nil {
		err = writePage(path, page.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, withoutPath(err))
	}
	return nil
}

// writeReport writes the HTML report under a temporary name and renames it. What
// is there and not a plain file, such as /dev/stdout, is written to and never
// replaced.
func writeReport(path string, r *run.Run, report *diagnosis.Report) error {
	var page bytes.Buffer
	err := web.Report(&page, r, report)
	if err == nil {
		err = writePage(path, page.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, withoutPath(err))
	}
	return nil
}

func writePage(path string, page []byte) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return errors.New("it is a folder; name a file in it")
	} else if err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(path, page, 0o644)
	} else if err == nil && !isPage(path) {
		return errors.New("a file that is no HTML page is there; choose another name or remove it")
	}
	return replaceFile(path, page)
}

// isPage tells whether a file is an HTML page or empty: an old report may be
// replaced, a record or a table may not.
func isPage(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	start := make([]byte, len("<!doctype html"))
	n, err := io.ReadFull(file, start)
	return n == 0 && err == io.EOF || strings.EqualFold(string(start[:n]), "<!doctype html")
}

// withoutPath returns what went wrong without the operation and the name of the
// file, which the caller says, and which may be that of a temporary file.
func withoutPath(err error) error {
	var ofFile *os.PathError
	if errors.As(err, &ofFile) {
		return ofFile.Err
	}
	var ofLink *os.LinkError
	if errors.As(err, &ofLink) {
		return ofLink.Err
	}
	return err
}
