package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ballast/phantom"
	"ballast/train"
)

// demoSubjects is as many patients as the question's kind of study has.
const demoSubjects = 80

func demoCommand() *cobra.Command {
	var d demo
	c := &cobra.Command{
		Use:   "demo",
		Short: "See the whole story on a synthetic cohort: train, fluctuate, explain",
		Long: "Demo writes a synthetic cohort, trains the four-layer 3D CNN of the question (convolution,\n" +
			"ReLU, pooling, four times; batch norm; a small validation set), and explains why its\n" +
			"validation accuracy jumps although its training accuracy is nearly perfect.",
		Example: "  ballast demo\n  ballast demo --seed 2 --out demo-2",
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return d.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&d.out, "out", "", "folder to write into (default ballast-demo-1, -2, ...)")
	c.Flags().Uint64Var(&d.seed, "seed", 1, "seed of the cohort and of the training")
	c.Flags().IntVar(&d.epochs, "epochs", 40, "passes over the training images")
	c.Flags().IntVar(&d.threads, "threads", 0, "threads to use; the result does not depend on it (default all)")
	c.Flags().BoolVar(&d.quiet, "quiet", false, "show no progress")
	return c
}

// A demo is a synthetic cohort, a run on it and its report, in one folder.
type demo struct {
	out             string
	seed            uint64
	epochs, threads int
	quiet           bool
}

func (d *demo) run(ctx context.Context, stdout, stderr io.Writer) error {
	plan := demoPlan(d.seed, d.epochs)
	if err := plan.Validate(); err != nil {
		return err
	}
	if err := d.makeFolder(); err != nil {
		return fmt.Errorf("make the demo's folder %s: %w", d.out, withoutPath(err))
	}
	defer os.Remove(d.out) // fails unless nothing was written
	cohortDir := filepath.Join(d.out, "cohort")
	if err := d.writeCohort(ctx, cohortDir, stderr); err != nil {
		return err
	}
	job := trainJob{cohort: cohortDir, plan: plan, out: filepath.Join(d.out, "run"), threads: d.threads, quiet: d.quiet, stderr: stderr}
	result, err := job.run(ctx)
	if result == nil || result.report == nil {
		return errors.Join(err, ctx.Err())
	}
	page := filepath.Join(d.out, "report.html")
	err = errors.Join(err, writeReport(page, result.run, result.report), result.report.Text(stdout, textWidth(stdout), colourful(stdout)))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "\nCohort: %s\nRun:    %s\nReport: %s\nMore:   ballast diagnose %s --probe --cohort %s\n",
		cohortDir, result.dir, page, quoted(result.dir), quoted(cohortDir))
	return err
}

// makeFolder makes the demo's folder, which must be new or empty.
func (d *demo) makeFolder() error {
	if d.out == "" {
		d.out = freeName("ballast-demo")
	}
	if err := checkFolder(d.out); err != nil {
		return err
	}
	return os.MkdirAll(d.out, 0o755)
}

func (d *demo) writeCohort(ctx context.Context, dir string, stderr io.Writer) error {
	bar := newTracker(stderr, "writing the cohort", d.quiet)
	defer bar.done()
	written := bar.counter(demoSubjects)
	return phantom.Write(ctx, dir, demoCohort(d.seed), demoSubjects, func(int) { written() })
}

// demoCohort has a signal that is there to learn but hard to find with few
// patients, and fewer responders than others, as in most studies of response.
func demoCohort(seed uint64) phantom.Config {
	config := phantom.Default().Resized(3, 32)
	config.Seed = seed
	config.Effect, config.Prevalence = 1.5, 0.4
	return config
}

// demoPlan is the network of the question, trained as most people would: no
// augmentation, no dropout, a quarter of the subjects to validate on.
func demoPlan(seed uint64, epochs int) train.Plan {
	plan := train.DefaultPlan()
	plan.Seed = seed
	plan.Epochs = epochs
	plan.Augment = train.Augment{}
	plan.Batch = 8
	plan.Prep.Grid = []int{32, 32, 32}
	return plan
}
