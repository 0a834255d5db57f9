package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ballast/cohort"
	"ballast/run"
	"ballast/train"
)

func resumeCommand() *cobra.Command {
	var epochs, threads int
	var asJSON, quiet, noCache bool
	c := &cobra.Command{
		Use:   "resume RUN [COHORT]",
		Short: "Go on with a training that was interrupted or killed",
		Long: "Resume takes a run's last checkpoint and trains the epochs that are left. The run ends with the\n" +
			"files, to the last bit, of one that was never interrupted. The cohort must be the one it was\n" +
			"begun with; it is remembered on the machine and for the folder where the run was trained, and\n" +
			"named elsewhere. --epochs lets a run go on beyond the epochs that were planned.",
		Example: "  ballast resume runs/COHORT-1\n  ballast resume runs/COHORT-1 COHORT\n  ballast resume runs/COHORT-1 --epochs 100",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 1 || len(args) == 2 {
				return nil
			}
			return exactly(1, "one run and at most its cohort")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("epochs") && epochs < 1 {
				return fmt.Errorf("%w: --epochs is %d; it must be at least 1", errUsage, epochs)
			}
			job := trainJob{out: args[0], threads: threads, quiet: quiet, stderr: c.ErrOrStderr()}
			if len(args) == 2 {
				job.cohort = args[1]
			}
			var err error
			if job.cache, err = cacheUnless(noCache); err != nil {
				return err
			}
			result, err := job.resume(c.Context(), epochs)
			if errors.Is(err, train.ErrFinished) && epochs == 0 {
				job.tell([]string{err.Error()}, "")
				return nil
			}
			if result == nil {
				return err
			}
			return errors.Join(err, result.print(c.OutOrStdout(), asJSON))
		},
	}
	c.Flags().IntVar(&epochs, "epochs", 0, "epochs to end with in place of the planned ones; for plans whose course does not depend on them")
	c.Flags().IntVar(&threads, "threads", 0, "threads to use; the result does not depend on it (default all)")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	c.Flags().BoolVar(&quiet, "quiet", false, "show no progress")
	addNoCache(c, &noCache)
	return c
}

// resume goes on with the run j.out. The result is nil when the run is as it was.
func (j *trainJob) resume(ctx context.Context, epochs int) (*trainResult, error) {
	r, plan, err := train.OpenForResume(j.out, epochs)
	if err != nil {
		if epochs == 0 && !errors.Is(err, train.ErrFinished) { // the run's own plan is at fault, not the command line
			err = fmt.Errorf("%w: %w", errInput, err)
		}
		return nil, err
	}
	j.plan = plan
	images, err := j.imagesOf(ctx, r, "resume", splitByPlan)
	if errors.Is(err, errNoCohort) {
		return nil, fmt.Errorf("%w: which cohort %s was trained on is not remembered here; name it: ballast resume %s COHORT", errUsage, j.out, quoted(j.out))
	}
	if err != nil {
		return nil, err
	}
	j.remember(j.out)
	j.tell(images.Notes, "note: ")
	if creator := "ballast " + version; r.Header.Creator != creator {
		j.tell([]string{fmt.Sprintf("the run was begun by %q and is continued by %q, whose numbers may differ", r.Header.Creator, creator)}, "note: ")
	}
	j.tell([]string{fmt.Sprintf("%s: %d of %d epochs are recorded in %s", j.cohort, len(r.Epochs), plan.Epochs, j.out)}, "")
	return j.result(j.out, j.train(func(o train.Options) error { return train.Resume(ctx, j.out, plan, images, o) }))
}

// imagesOf loads the images of the run j.out by its plan, from the cohort that is
// named or remembered and divided in a way, for what is to be done.
func (j *trainJob) imagesOf(ctx context.Context, r *run.Run, to string, divide divider) (*train.Images, error) {
	var err error
	if j.cohort == "" {
		if j.cohort, err = rememberedCohort(j.out); err != nil {
			return nil, err
		}
	}
	c, err := cohort.Open(j.cohort, cohort.Options(j.plan.Data))
	if err != nil {
		return nil, err
	}
	split, err := divide(r, c, j.plan)
	if err == nil {
		err = checkMemory(j.plan, countAll(c, split), physicalMemory())
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s with %s: %w", to, j.out, j.cohort, err)
	}
	return j.loadAgain(ctx, c, split)
}

// A divider divides a cohort as a run has it; the error wraps train.ErrMismatch
// where it cannot.
type divider func(r *run.Run, c *cohort.Cohort, plan train.Plan) (cohort.Split, error)

// splitByPlan divides as ballast train does.
func splitByPlan(r *run.Run, c *cohort.Cohort, plan train.Plan) (cohort.Split, error) {
	split, err := c.SplitBy(plan.Seed, plan.Split.Options())
	if err == nil {
		err = train.SameSubjects(r, c, split)
	}
	return split, err
}

// splitByName divides by the plan, or, where it was not the plan that divided the
// run, as in ballast cv, by the subjects' names.
func splitByName(r *run.Run, c *cohort.Cohort, plan train.Plan) (cohort.Split, error) {
	split, err := splitByPlan(r, c, plan)
	if !errors.Is(err, train.ErrMismatch) {
		return split, err
	}
	places := map[string]int{}
	for i, subject := range c.Subjects {
		places[subject.ID] = i
	}
	var named cohort.Split
	for set, members := range map[string]*[]int{run.Train: &named.Train, run.Validation: &named.Validation, run.Test: &named.Test} {
		for _, subject := range r.Header.Sets[set] {
			if place, known := places[subject.ID]; known {
				*members = append(*members, place)
			}
		}
	}
	if train.SameSubjects(r, c, named) != nil {
		return split, err
	}
	return named, nil
}

// loadAgain loads the images of a run that is there already, with the initial
// weights that it holds in place of those that its plan names, which may be gone.
func (j *trainJob) loadAgain(ctx context.Context, c *cohort.Cohort, split cohort.Split) (*train.Images, error) {
	again := *j
	if own := filepath.Join(j.out, filepath.FromSlash(train.InitialFile)); j.plan.Net.Weights != "" {
		if _, err := os.Stat(own); err == nil {
			again.plan.Net.Weights = own
		}
	}
	return again.load(ctx, c, split)
}

// A runNote remembers the cohort of a run. It stands beside the cache of prepared
// images, since a run holds no path.
type runNote struct {
	Run    string `json:"run"`
	Cohort string `json:"cohort"`
}

// runNotes is the folder of the notes inside that of the cache.
const runNotes = "runs"

// noteFile is where the note of a run lies, by its absolute path.
func noteFile(dir string) (file, absolute string, err error) {
	cache, err := cacheDir()
	if err != nil {
		return "", "", err
	}
	if absolute, err = filepath.Abs(dir); err != nil {
		return "", "", err
	}
	sum := sha256.Sum256([]byte(absolute))
	return filepath.Join(cache, runNotes, hex.EncodeToString(sum[:])+".json"), absolute, nil
}

// remember notes the cohort of a run, unless the cache is switched off. Where that
// fails, resume will ask for the cohort.
func (j *trainJob) remember(dir string) {
	if j.cache == nil {
		return
	}
	file, absolute, err := noteFile(dir)
	if err != nil {
		return
	}
	cohort, err := filepath.Abs(j.cohort)
	if err != nil {
		return
	}
	text, err := json.Marshal(runNote{Run: absolute, Cohort: cohort})
	if err != nil || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	_ = replaceFile(file, append(text, '\n'))
}

// errNoCohort is returned where the cohort of a run is not remembered.
var errNoCohort = errors.New("the cohort of the run is not remembered here")

// rememberedCohort is the cohort that a run was trained on here.
func rememberedCohort(dir string) (string, error) {
	var note runNote
	file, _, err := noteFile(dir)
	if err == nil {
		var text []byte
		if text, err = os.ReadFile(file); err == nil {
			err = json.Unmarshal(text, &note)
		}
	}
	if err != nil || note.Cohort == "" {
		return "", fmt.Errorf("%w: %s", errNoCohort, dir)
	}
	return note.Cohort, nil
}

// forgetCohorts removes the notes of all runs.
func forgetCohorts() error {
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(cache, runNotes))
}
