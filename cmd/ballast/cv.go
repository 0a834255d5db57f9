package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ballast/cohort"
	"ballast/evaluation"
	"ballast/run"
	"ballast/train"
	"ballast/trial"
)

func cvCommand() *cobra.Command {
	var f planFlags
	var out string
	var threads, folds, repeats int
	var views, noBaselines, asJSON, quiet, noCache bool
	c := &cobra.Command{
		Use:   "cv COHORT",
		Short: "Cross-validate: how well does this plan predict subjects it has not seen?",
		Long: "Cv divides the subjects into folds, stratified by class, and trains a network for each fold that\n" +
			"never sees it: the fold is the test set, the other subjects are divided into training and\n" +
			"validation as train does, and nothing is chosen by looking at the fold. Each repeat divides the\n" +
			"subjects anew and trains with another seed. The interval does not pretend that folds are\n" +
			"independent (Nadeau and Bengio 2003).\n\n" +
			"Ctrl-C keeps what is finished; the same command with the same --out goes on.",
		Example: "  ballast cv COHORT\n" +
			"  ballast cv COHORT --folds 10 --repeats 1 --epochs 30\n" +
			"  ballast cv COHORT --plan plan.yaml --out runs/cv-low-lr --json",
		Args: exactly(1, "one cohort (a folder or a table)"),
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := f.plan(c)
			if err != nil {
				return err
			}
			if folds < 2 || folds > 1000 || repeats < 1 || repeats > 1000 {
				return fmt.Errorf("%w: --folds is %d and --repeats %d; they must lie between 2 and 1000 and between 1 and 1000", errUsage, folds, repeats)
			}
			if !views {
				plan.Views.Every = 0
			}
			job := cvJob{trainJob{cohort: args[0], plan: plan, out: out, threads: threads, quiet: quiet, stderr: c.ErrOrStderr()}, folds, repeats, noBaselines}
			if job.cache, err = cacheUnless(noCache); err != nil {
				return err
			}
			result, dir, err := job.run(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), struct {
					Dir string `json:"dir"`
					*trial.CrossValidation
				}{dir, result})
			}
			return printCrossValidation(c.OutOrStdout(), result, dir)
		},
	}
	f.add(c)
	c.Flags().IntVar(&folds, "folds", 5, "parts that the subjects are divided into, each tested once in a repeat")
	c.Flags().IntVar(&repeats, "repeats", 3, "divisions into folds, each with another seed")
	c.Flags().BoolVar(&views, "views", false, "record the views of the plan (views.every) in every fold, to diagnose it")
	c.Flags().BoolVar(&noBaselines, "no-baselines", false, "fit no logistic regressions to compare with")
	c.Flags().StringVar(&out, "out", "", "folder of the cross-validation, where it goes on if it is there (default runs/COHORT-cv-1, -2, ...)")
	c.Flags().IntVar(&threads, "threads", 0, "threads to use; the result does not depend on it (default all)")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	c.Flags().BoolVar(&quiet, "quiet", false, "show no progress")
	addNoCache(c, &noCache)
	return c
}

// A cvJob is one cross-validation of a cohort on disk.
type cvJob struct {
	trainJob
	folds, repeats int
	noBaselines    bool
}

// run opens the cohort and trains all folds that are missing.
func (j *cvJob) run(ctx context.Context) (result *trial.CrossValidation, dir string, err error) {
	dir = cmp.Or(j.out, freeName(filepath.Join("runs", cohortName(j.cohort)+"-cv")))
	if _, err := os.Stat(filepath.Join(dir, trial.RecordFile)); err != nil {
		if err := checkFolder(dir); err != nil {
			return nil, dir, fmt.Errorf("create cross-validation %s: %w", dir, err)
		}
	}
	c, err := cohort.Open(j.cohort, cohort.Options(j.plan.Data))
	if err != nil {
		return nil, dir, err
	}
	j.tell(c.Notes, "note: ")
	j.tell(c.Excluded, "left out: ")
	j.plan.Data = train.Data(c.Columns)
	if err := j.checkMasks(c); err != nil {
		return nil, dir, err
	}
	j.tell(j.opening(c, dir), "")
	bar := newTracker(j.stderr, "cross-validation", j.quiet)
	defer bar.done()
	result, err = trial.CrossValidate(ctx, dir, trial.Config{
		Plan: j.plan, Cohort: c, Source: j.cohort, Folds: j.folds, Repeats: j.repeats, Creator: "ballast " + version,
		NoBaselines: j.noBaselines,
		Reading:     train.Reading{Threads: j.workers(), Cache: j.cache},
		Admit:       func(p train.Plan, images int) error { return checkMemory(p, images, physicalMemory()) },
		Progress:    j.progress(bar),
	})
	if errors.Is(err, train.ErrInterrupted) || errors.Is(err, context.Canceled) {
		j.tell([]string{fmt.Sprintf("what is finished is in %s; the same command with --out %s goes on", dir, quoted(dir))}, "")
	}
	return result, dir, err
}

// opening says what is about to be done, and who takes no part.
func (j *cvJob) opening(c *cohort.Cohort, dir string) []string {
	kept := 0
	for _, s := range c.Subjects {
		if s.Set == run.Test {
			kept++
		}
	}
	lines := []string{fmt.Sprintf("%s: %s, %d subjects in %d folds, %d times, %d epochs each, recording into %s",
		j.cohort, j.plan.Net.Name, len(c.Subjects)-kept, j.folds, j.repeats, j.plan.Epochs, dir)}
	if kept > 0 {
		lines = append(lines, fmt.Sprintf("note: %d subjects whose set is test are kept out of every fold", kept))
	}
	return lines
}

// progress shows epochs beside the bar, and a line for each finished fold.
func (j *cvJob) progress(bar *tracker) func(trial.Progress) {
	return func(p trial.Progress) {
		at := fmt.Sprintf("repeat %d/%d, fold %d/%d", p.Repeat, j.repeats, p.Fold, j.folds)
		switch {
		case p.Notes != nil:
			j.tell(p.Notes, "note: ")
		case p.Read > 0:
			if bar.bar != nil {
				bar.say(p.Share, fmt.Sprintf("%s, reading image %d of %d", at, p.Read, p.Images), "")
			}
		case p.Finished != nil:
			line := fmt.Sprintf("%s: %d subjects tested after %d epochs", at, p.Finished.Test, p.Finished.Epochs)
			bar.say(p.Share, at, line)
		case p.Epoch != nil && bar.bar != nil:
			words, _ := epochNews(p.Epoch, j.plan.Epochs)
			bar.say(p.Share, at+", "+words, "")
		default:
			bar.to(p.Share)
		}
	}
}

// printCrossValidation prints the results as a table with what to make of it.
func printCrossValidation(w io.Writer, c *trial.CrossValidation, dir string) error {
	fmt.Fprintf(w, "%d subjects, %d folds, %s: each subject was predicted by networks that never saw it.\n\n",
		len(c.Subjects), c.Folds, counted(c.Repeats, "repeat"))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tmean of folds\t95 % interval\tpooled\tresampled subjects")
	for _, r := range c.Results {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.Name, decimals(r.Value), fromTo(r.Low, r.High), decimals(r.Pooled), fromTo(r.PooledLow, r.PooledHigh))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nThe interval is Nadeau and Bengio's corrected t over folds, which allows for folds that share")
	fmt.Fprintln(w, "training subjects. Resampling subjects alone does not, and is too narrow.")
	if slices.ContainsFunc(c.Results, func(r trial.Result) bool { return math.IsNaN(float64(r.Low)) }) {
		fmt.Fprintln(w, "Where there is none (-), every fold gave the same value, or one that is not finite.")
	}
	if len(c.Results) > 0 {
		fmt.Fprintln(w, "\n"+spreadText(&c.Results[0], c.Repeats))
	}
	if err := printBaselines(w, c); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nPredictions: %s\nRuns: %s\n", filepath.Join(dir, trial.PredictionsFile), dir)
	return err
}

// printBaselines prints what models without a network reach in the same folds.
func printBaselines(w io.Writer, c *trial.CrossValidation) error {
	if len(c.Baselines) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nWithout a network, in the same folds:")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\taccuracy\tnetwork minus it\tAUROC\tnetwork minus it")
	for _, b := range c.Baselines {
		if b.Unknown != "" {
			fmt.Fprintf(table, "%s\tnot fitted: %s\n", b.Name, b.Unknown)
			continue
		}
		fmt.Fprint(table, b.Name)
		for _, r := range b.Results {
			if r.ID == evaluation.Accuracy || r.ID == evaluation.AUROC {
				fmt.Fprintf(table, "\t%s\t%+.3f (%s)", decimals(r.Value), float64(r.Difference), fromTo(r.DifferenceLow, r.DifferenceHigh))
			}
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, verdict(c.Baselines))
	return err
}

// verdict says what the network has been shown to be better than, by accuracy.
func verdict(baselines []trial.Baseline) string {
	var better, worse, open []string
	for _, b := range baselines {
		for _, r := range b.Results {
			switch {
			case r.ID != evaluation.Accuracy:
			case r.DifferenceLow > 0:
				better = append(better, b.Name)
			case r.DifferenceHigh < 0:
				worse = append(worse, b.Name)
			default:
				open = append(open, b.Name)
			}
		}
	}
	var words []string
	for _, part := range []struct {
		before string
		names  []string
	}{{"better than ", better}, {"not shown to be better than ", open}, {"worse than ", worse}} {
		if len(part.names) > 0 {
			words = append(words, part.before+strings.Join(part.names, ", "))
		}
	}
	if len(words) == 0 {
		return "No baseline could be fitted."
	}
	return "By accuracy the network is " + strings.Join(words, "; ") + "."
}

// spreadText says what moves the accuracy.
func spreadText(r *trial.Result, repeats int) string {
	s := &r.Spread
	var text strings.Builder
	fmt.Fprintf(&text, "Spread of the %s (standard deviations): %s between folds, where %s is expected of folds this small\n"+
		"when all networks are equally good; %s by who the subjects are", r.Name, decimals(s.Folds), decimals(s.ByChance), decimals(s.Subjects))
	if repeats > 1 {
		fmt.Fprintf(&text, "; %s between repeats, by seed and division", decimals(s.Repeats))
	}
	return text.String() + "."
}

func decimals(x run.Float) string {
	if math.IsNaN(float64(x)) {
		return "-"
	}
	return fmt.Sprintf("%.3f", float64(x))
}

func fromTo(low, high run.Float) string {
	if math.IsNaN(float64(low)) || math.IsNaN(float64(high)) {
		return "-"
	}
	return decimals(low) + " to " + decimals(high)
}
