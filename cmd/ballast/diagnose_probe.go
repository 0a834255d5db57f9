package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ballast/probe"
	"ballast/run"
	"ballast/train"
)

// A probeJob makes experiments with a run before it is diagnosed.
type probeJob struct {
	wanted         bool
	cohort         string
	time           time.Duration
	threads        int
	quick          bool
	quiet, noCache bool
	stderr         io.Writer
}

// usualProbeTime is how long experiments may take unless the user says otherwise.
const usualProbeTime = 5 * time.Minute

// probeFlags are the flags that mean nothing without --probe.
var probeFlags = []string{"cohort", "time", "quick", "threads", "quiet", "no-cache"}

func (j *probeJob) add(c *cobra.Command) {
	c.Flags().BoolVar(&j.wanted, "probe", false, "first make experiments with the run's weights and images")
	c.Flags().StringVar(&j.cohort, "cohort", "", "with --probe: the run's cohort (default remembered from its training)")
	c.Flags().DurationVar(&j.time, "time", usualProbeTime, "with --probe: how long the experiments may take, such as 90s or 20m")
	c.Flags().BoolVar(&j.quick, "quick", false, "with --probe: costly experiments with fewer refits and epochs, less sure, in a fraction of the time")
	c.Flags().IntVar(&j.threads, "threads", 0, "with --probe: threads to use; the result does not depend on it (default all)")
	c.Flags().BoolVar(&j.quiet, "quiet", false, "with --probe: show no progress")
	addNoCache(c, &j.noCache)
}

// check refuses flags that cannot be meant.
func (j *probeJob) check(c *cobra.Command) error {
	for _, name := range probeFlags {
		if !j.wanted && c.Flags().Changed(name) {
			return fmt.Errorf("%w: --%s is for experiments; add --probe", errUsage, name)
		}
	}
	if j.wanted && j.time <= 0 {
		return fmt.Errorf("%w: --time is %s; it must be above 0, such as 90s or 20m", errUsage, j.time)
	}
	return nil
}

// measure makes the experiments with the run in a folder and stores what they
// measured there, also when they are interrupted.
func (j *probeJob) measure(ctx context.Context, dir string) error {
	r, state, err := openForProbes(dir)
	if err != nil {
		return err
	}
	job := trainJob{cohort: j.cohort, out: dir, threads: j.threads, quiet: j.quiet, stderr: j.stderr}
	if job.cache, err = cacheUnless(j.noCache); err != nil {
		return err
	}
	if job.plan, err = train.ReadPlan(r.Plan); err != nil {
		return fmt.Errorf("%w: read %s of %s: %w", errInput, run.PlanFile, dir, err)
	}
	images, err := job.imagesOf(ctx, r, "probe", splitByName)
	if errors.Is(err, errNoCohort) {
		return fmt.Errorf("%w: which cohort %s was trained on is not remembered here; name it: ballast diagnose %s --probe --cohort COHORT", errUsage, dir, quoted(dir))
	}
	if err != nil {
		return err
	}
	bench, err := probe.New(r, job.plan, images, state, j.threads)
	if err != nil {
		return fmt.Errorf("probe %s with %s: %w", dir, job.cohort, err)
	}
	defer bench.Close()
	bench.Quick = j.quick
	job.remember(dir)
	return j.make(ctx, dir, bench, &job)
}

// openForProbes opens a run with its weights, or says what it lacks.
func openForProbes(dir string) (*run.Run, *train.State, error) {
	r, err := run.Open(dir)
	_, absent := os.Stat(dir)
	switch {
	case errors.Is(err, run.ErrNotRun) && absent == nil:
		return nil, nil, fmt.Errorf("%w: --probe needs a run trained by ballast, with its weights; %s is none: leave --probe out", errInput, dir)
	case err != nil:
		return nil, nil, err
	case r.Plan == nil:
		return nil, nil, fmt.Errorf("%w: --probe needs a run trained by ballast; %s has no %s: leave --probe out", errInput, dir, run.PlanFile)
	}
	state, err := train.ReadState(dir, r)
	return r, state, err
}

// make makes the experiments that were not made before.
func (j *probeJob) make(ctx context.Context, dir string, bench *probe.Bench, job *trainJob) error {
	bar := newTracker(j.stderr, "experiments", j.quiet)
	results, err := probe.Run(ctx, bench, probe.Options{Time: j.time, Keep: bench.Run.Probes, Progress: func(p probe.Progress) {
		if p.Begun {
			bar.say(p.Share, p.Probe.Title, p.Probe.Title)
		} else {
			bar.to(p.Share)
		}
	}})
	bar.done()
	if err != nil && !errors.Is(err, train.ErrInterrupted) {
		return err
	}
	if failure := run.WriteProbes(dir, results); failure != nil {
		return errors.Join(err, failure)
	}
	for _, line := range leftOut(results) {
		job.tell([]string{line}, "left out: ")
	}
	if err != nil {
		job.tell([]string{fmt.Sprintf("%d experiments were made and are kept in %s; the same command makes the others", made(results), run.ProbesFile)}, "")
	}
	return err
}

// made counts the experiments that were not skipped.
func made(results *run.Probes) (count int) {
	for _, result := range results.Results {
		if result.Skipped == "" {
			count++
		}
	}
	return count
}

// leftOut says which experiments were not made, and why.
func leftOut(results *run.Probes) (lines []string) {
	for _, result := range results.Results {
		if result.Skipped != "" {
			lines = append(lines, result.ID+": "+strings.TrimPrefix(result.Skipped, probe.ErrNotApplicable.Error()+": "))
		}
	}
	return lines
}
