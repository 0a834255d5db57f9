package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/spf13/cobra"

	"ballast/phantom"
	"ballast/train"
)

// demoSubjects is as many patients as the question's kind of study has.
const demoSubjects = 80

func demoCommand() *cobra.Command {
	var out string
	var seed uint64
	var epochs, threads int
	var quiet bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "See the whole story on a synthetic cohort: train, fluctuate, explain",
		Long: "Demo writes a synthetic cohort, trains the four-layer 3D CNN of the question (convolution,\n" +
			"ReLU, pooling, four times; batch norm; a small validation set), and explains why its\n" +
			"validation accuracy jumps although its training accuracy is nearly perfect.",
		Example: "  ballast demo\n  ballast demo --seed 2 --out demo-2",
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			plan := demoPlan(seed, epochs)
			if err := plan.Validate(); err != nil {
				return err
			}
			if out == "" {
				out = freeName("ballast-demo")
			}
			if err := checkFolder(out); err != nil {
				return fmt.Errorf("make the demo's folder %s: %w", out, err)
			}
			if err := os.MkdirAll(out, 0o755); err != nil {
				return fmt.Errorf("make the demo's folder %s: %w", out, withoutPath(err))
			}
			defer os.Remove(out) // fails unless nothing was written
			stderr := c.ErrOrStderr()
			cohortDir := filepath.Join(out, "cohort")
			bar := newTracker(stderr, "writing the cohort", quiet)
			var written atomic.Int64
			err := phantom.Write(c.Context(), cohortDir, demoCohort(seed), demoSubjects, func(int) {
				bar.to(float64(written.Add(1)) / demoSubjects)
			})
			bar.done()
			if err != nil {
				return err
			}
			job := trainJob{cohort: cohortDir, plan: plan, out: filepath.Join(out, "run"), threads: threads, quiet: quiet, stderr: stderr}
			result, err := job.run(c.Context())
			if result == nil || result.report == nil {
				return errors.Join(err, c.Context().Err())
			}
			page := filepath.Join(out, "report.html")
			if err := errors.Join(err, writeReport(page, result.run, result.report), result.report.Text(c.OutOrStdout(), textWidth(c.OutOrStdout()), colourful(c.OutOrStdout()))); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "\nCohort: %s\nRun:    %s\nReport: %s\n", cohortDir, result.dir, page)
			return err
		},
	}
	c.Flags().StringVar(&out, "out", "", "folder to write into (default ballast-demo-1, -2, ...)")
	c.Flags().Uint64Var(&seed, "seed", 1, "seed of the cohort and of the training")
	c.Flags().IntVar(&epochs, "epochs", 40, "passes over the training images")
	c.Flags().IntVar(&threads, "threads", 0, "threads to use; the result does not depend on it (default all)")
	c.Flags().BoolVar(&quiet, "quiet", false, "show no progress")
	return c
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
