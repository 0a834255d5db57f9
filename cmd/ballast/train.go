package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"ballast/cohort"
	"ballast/diagnosis"
	"ballast/kernel"
	"ballast/prep"
	"ballast/run"
	"ballast/train"
)

func trainCommand() *cobra.Command {
	var f planFlags
	var out string
	var threads int
	var dryRun, asJSON, quiet, noCache bool
	c := &cobra.Command{
		Use:   "train COHORT",
		Short: "Train a network on a cohort and diagnose its validation curve",
		Long: "Train reads a cohort (a table, a BIDS tree, a MONAI datalist, an .npz archive, or a folder with\n" +
			"one subfolder of images per class), splits it by subject, trains, and records every subject's\n" +
			"prediction after every epoch. Everything left out is chosen; --dry-run shows it.",
		Example: "  ballast train COHORT\n" +
			"  ballast train COHORT --label pcr --subject patient_id --epochs 100 --seed 2\n" +
			"  ballast train COHORT --plan plan.yaml --set optimizer.lr=3e-4 --out runs/low-lr\n" +
			"  ballast train COHORT --recipe steady\n" +
			"  ballast train COHORT --dry-run > plan.yaml",
		Args: exactly(1, "one cohort (a folder or a table)"),
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := f.plan(c)
			if err != nil {
				return err
			}
			job := trainJob{cohort: args[0], plan: plan, out: out, threads: threads, quiet: quiet, stderr: c.ErrOrStderr()}
			if job.cache, err = cacheUnless(noCache); err != nil {
				return err
			}
			if dryRun {
				return dryRunTrain(c.Context(), job, c.OutOrStdout(), asJSON)
			}
			result, err := job.run(c.Context())
			if result == nil {
				return err
			}
			return errors.Join(err, result.print(c.OutOrStdout(), asJSON))
		},
	}
	f.add(c)
	c.Flags().StringVar(&out, "out", "", "folder of the new run (default runs/COHORT-1, -2, ...)")
	c.Flags().IntVar(&threads, "threads", 0, "threads to use; the result does not depend on it (default all)")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print the resolved plan with its estimated memory and time, and train nothing")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	c.Flags().BoolVar(&quiet, "quiet", false, "show no progress")
	addNoCache(c, &noCache)
	return c
}

// planFlags are the flags that change a plan, in rising order of precedence:
// --plan, --recipe, the other named ones, --set.
type planFlags struct {
	file, recipe, label, subject, mask, site, session, volume, net string
	epochs                                                         int
	seed                                                           uint64
	path, sequences, set                                           []string
}

func (f *planFlags) add(c *cobra.Command) {
	f.addData(c)
	c.Flags().StringVar(&f.recipe, "recipe", "", "plain, or steady: a named set of plan values against a jittering curve (default plain)")
	c.Flags().StringVar(&f.net, "net", "", "network: cnn1 to cnn6; vgg11, vgg13, vgg16; resnet10, resnet18, resnet34; linear (default cnn4)")
	c.Flags().IntVar(&f.epochs, "epochs", 0, "passes over the training images (default 50)")
}

// addData adds the flags of commands that open and split a cohort.
func (f *planFlags) addData(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.file, "plan", "", "YAML file with the plan; what it leaves out is the default")
	flags.StringVar(&f.label, "label", "", "column with the class (default: found by name)")
	flags.StringVar(&f.subject, "subject", "", "column with the patient (default: found by name)")
	flags.StringVar(&f.mask, "mask", "", "column with the mask file (default: found by name)")
	flags.StringVar(&f.site, "site", "", "column with the scanner or hospital")
	flags.StringSliceVar(&f.path, "path", nil, "column with the image file (default: found by name); several, as t1,flair, are channels")
	flags.StringSliceVar(&f.sequences, "sequences", nil, "MRI sequences to use, a channel each, as T1w,FLAIR (default: one that all subjects have)")
	flags.StringVar(&f.session, "session", "", "the visit to use, or first (default: each visit is an image of its subject)")
	flags.StringVar(&f.volume, "volume", "", "of 4D files: the volume to use, counted from 0, or the column that holds it")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of every random number (default 1)")
	flags.StringArrayVar(&f.set, "set", nil, "change one value of the plan, as in optimizer.lr=3e-4; may be repeated")
}

// plan puts the flags that were given on top of the plan file or the defaults.
func (f *planFlags) plan(c *cobra.Command) (train.Plan, error) {
	plan := train.DefaultPlan()
	if f.file != "" {
		var err error
		if plan, err = readPlan(f.file); err != nil {
			return plan, fmt.Errorf("%w: read plan %s: %w", errUsage, f.file, withoutPath(err))
		}
	}
	if c.Flags().Changed("recipe") {
		if err := plan.Set("recipe", f.recipe); err != nil {
			return plan, err
		}
	}
	for _, named := range []struct {
		flag  string
		apply func()
	}{
		{"label", func() { plan.Data.Label = f.label }},
		{"subject", func() { plan.Data.Subject = f.subject }},
		{"mask", func() { plan.Data.Mask = f.mask }},
		{"site", func() { plan.Data.Site = f.site }},
		{"path", func() { plan.Data.Path = f.path }},
		{"sequences", func() { plan.Data.Sequences = f.sequences }},
		{"session", func() { plan.Data.Session = f.session }},
		{"volume", func() { plan.Data.Volume = f.volume }},
		{"net", func() { plan.Net.Name = f.net }},
		{"epochs", func() { plan.Epochs = f.epochs }},
		{"seed", func() { plan.Seed = f.seed }},
	} {
		if c.Flags().Changed(named.flag) {
			named.apply()
		}
	}
	for _, assignment := range f.set {
		if err := setKey(&plan, assignment); err != nil {
			return plan, err
		}
	}
	return plan, plan.Validate()
}

// maxPlan is the largest plan file that is read, in bytes, as in a run.
const maxPlan = 1 << 20

func readPlan(name string) (train.Plan, error) {
	file, err := os.Open(name)
	if err != nil {
		return train.Plan{}, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxPlan+1))
	if err != nil {
		return train.Plan{}, err
	}
	if len(bytes.TrimSpace(text)) == 0 { // as after --plan plan.yaml --dry-run > plan.yaml
		return train.Plan{}, errors.New("it is empty")
	}
	if len(text) > maxPlan {
		return train.Plan{}, fmt.Errorf("more than %d bytes are no plan", maxPlan)
	}
	plan, err := train.ReadPlan(text)
	if err == nil {
		err = plan.Validate()
	}
	return plan, err
}

func setKey(plan *train.Plan, assignment string) error {
	if key, value, found := strings.Cut(assignment, "="); found {
		return plan.Set(key, value)
	}
	return fmt.Errorf("%w: --set %s: write it as KEY=VALUE, as in optimizer.lr=3e-4", errUsage, assignment)
}

// A trainJob is one training from a cohort on disk to a diagnosed run.
type trainJob struct {
	cohort  string
	plan    train.Plan
	out     string // "": the first free runs/COHORT-N
	threads int
	quiet   bool
	cache   *prep.Cache // of prepared images; nil: none
	stderr  io.Writer
}

// A trainResult is a finished (or interrupted) run with its diagnosis.
type trainResult struct {
	dir    string
	run    *run.Run
	report *diagnosis.Report // nil when the run is too short to say anything
	why    error             // why report is nil
}

// prepare opens and splits the cohort and resolves the plan. Nothing is
// written.
func (j *trainJob) prepare(ctx context.Context) (*cohort.Cohort, cohort.Split, error) {
	c, err := cohort.Open(j.cohort, cohort.Options(j.plan.Data))
	if err != nil {
		return nil, cohort.Split{}, err
	}
	j.tell(c.Notes, "note: ")
	j.tell(c.Excluded, "left out: ")
	split, err := c.SplitBy(j.plan.Seed, j.plan.Split.Options())
	if err != nil {
		return nil, split, err
	}
	// The resolved plan names the columns that were found.
	j.plan.Data = train.Data(c.Columns)
	if err := j.checkMasks(c); err != nil {
		return c, split, err
	}
	bar := newTracker(j.stderr, "measuring images", j.quiet)
	defer bar.done()
	measured := bar.counter(min(countImages(c, split.Train), train.MeasuredImages))
	j.plan, err = train.Resolve(ctx, j.plan, c, split, train.Reading{Threads: j.workers(), Cache: j.cache, Each: measured})
	if err == nil {
		err = checkMemory(j.plan, countAll(c, split), physicalMemory())
	}
	return c, split, err
}

// checkMasks refuses to crop around masks that are not there before any image
// is read, and says when some masks are left unused because others are missing.
func (j *trainJob) checkMasks(c *cohort.Cohort) error {
	images, without := 0, []string{}
	for _, subject := range c.Subjects {
		for _, image := range subject.Images {
			images++
			if image.Mask == "" {
				without = append(without, image.Path)
			}
		}
	}
	if len(without) == 0 {
		return nil
	}
	if j.plan.Prep.Crop == "mask" {
		return fmt.Errorf("%w: prep.crop is mask, but %d of %d images have no mask (the first is %s); name the column with --mask or choose foreground or none",
			train.ErrPlan, len(without), images, without[0])
	}
	if j.plan.Prep.Crop == "" && len(without) < images {
		j.tell([]string{fmt.Sprintf("%d of %d images have no mask (the first is %s), so no mask is used: images are cropped to the foreground",
			len(without), images, without[0])}, "note: ")
	}
	return nil
}

// mostLines is how many notes of one kind are shown.
const mostLines = 10

// tell shows lines beside the progress, the first few of many.
func (j *trainJob) tell(lines []string, before string) {
	if j.quiet {
		return
	}
	for n, line := range lines {
		if n == mostLines && len(lines) > mostLines+1 {
			fmt.Fprintf(j.stderr, "%s... and %d more\n", before, len(lines)-n)
			return
		}
		fmt.Fprintln(j.stderr, before+line)
	}
}

func (j *trainJob) workers() int {
	if j.threads > 0 {
		return j.threads
	}
	return runtime.GOMAXPROCS(0)
}

func countImages(c *cohort.Cohort, subjects []int) int {
	n := 0
	for _, s := range subjects {
		n += len(c.Subjects[s].Images)
	}
	return n
}

// countAll is the number of images of all sets of a split.
func countAll(c *cohort.Cohort, split cohort.Split) int {
	return countImages(c, split.Train) + countImages(c, split.Validation) + countImages(c, split.Test)
}

// run trains and diagnoses. The result is nil when nothing was recorded.
func (j *trainJob) run(ctx context.Context) (*trainResult, error) {
	// run.Create refuses such a folder too, but only after all images are read.
	if err := checkFolder(cmp.Or(j.out, "runs/new")); err != nil {
		return nil, fmt.Errorf("create run %s: %w", cmp.Or(j.out, "in runs"), err)
	}
	c, split, err := j.prepare(ctx)
	if err != nil {
		return nil, err
	}
	images, err := j.load(ctx, c, split)
	if err != nil {
		return nil, err
	}
	writer, dir, err := j.create(images)
	if err != nil {
		return nil, err
	}
	j.tell(images.Notes, "note: ")
	j.tell([]string{fmt.Sprintf("%s: %s, %d training and %d validation subjects, grid %v, %d epochs, recording into %s",
		j.cohort, j.plan.Net.Name, len(images.Train.Subjects), len(images.Validation.Subjects), j.plan.Prep.Grid, j.plan.Epochs, dir)}, "")
	defer writer.Close()
	return j.result(dir, j.train(func(o train.Options) error { return train.Train(ctx, j.plan, images, writer, o) }))
}

// result reads and diagnoses the run, unless training failed without a valid one.
func (j *trainJob) result(dir string, trained error) (*trainResult, error) {
	if trained != nil && !errors.Is(trained, train.ErrInterrupted) && !errors.Is(trained, train.ErrDiverged) {
		return nil, trained
	}
	result := &trainResult{dir: dir}
	var err error
	if result.run, err = run.Open(dir); err != nil {
		return nil, errors.Join(trained, err)
	}
	result.report, result.why = diagnosis.Diagnose(result.run)
	return result, trained
}

// create starts the run in the chosen folder, else in the first free one, also
// when another program takes that at the same moment. The cohort is remembered first,
// so that a run that is killed as soon as it is there can be resumed.
func (j *trainJob) create(images *train.Images) (writer *run.Writer, dir string, err error) {
	for {
		dir = cmp.Or(j.out, freeName(filepath.Join("runs", cohortName(j.cohort))))
		if _, err := os.Stat(filepath.Join(dir, run.HeaderFile)); err != nil {
			j.remember(dir)
		}
		writer, err = run.Create(dir, train.Header(j.plan, images, "ballast "+version), j.plan.YAML())
		if j.out != "" || !errors.Is(err, run.ErrExists) {
			return writer, dir, err
		}
	}
}

func (j *trainJob) load(ctx context.Context, c *cohort.Cohort, split cohort.Split) (*train.Images, error) {
	bar := newTracker(j.stderr, "reading images", j.quiet)
	defer bar.done()
	images, err := train.Load(ctx, c, split, j.plan, train.Reading{Threads: j.workers(), Cache: j.cache, Each: bar.counter(countAll(c, split))})
	if err == nil && j.cache != nil && j.cache.Problem() != nil {
		images.Notes = append(images.Notes, fmt.Sprintf("prepared images are not kept for later runs: %v", j.cache.Problem()))
	}
	return images, err
}

// train shows how a training goes.
func (j *trainJob) train(with func(train.Options) error) error {
	bar := newTracker(j.stderr, "training", j.quiet)
	ended := ""
	err := with(train.Options{
		Threads: j.threads,
		Progress: func(p train.Progress) {
			if p.Epoch == nil {
				bar.to(p.Share)
				return
			}
			words, line := epochNews(p.Epoch, j.plan.Epochs)
			bar.say(p.Share, words, line)
			ended = p.Ended
		},
	})
	bar.done()
	if ended != "" {
		j.tell([]string{ended}, "")
	}
	return err
}

// epochNews tells how an epoch went, in a few words and in a line.
func epochNews(e *run.Epoch, epochs int) (words, line string) {
	training, validation := e.Evaluation(run.Logged, run.Train), e.Evaluation(run.Logged, run.Validation)
	words = fmt.Sprintf("epoch %d/%d, accuracy %.2f and %.2f", e.Epoch, epochs, training.Accuracy, validation.Accuracy)
	line = fmt.Sprintf("epoch %d/%d: accuracy %.3f training, %.3f validation; loss %.3f training, %.3f validation",
		e.Epoch, epochs, training.Accuracy, validation.Accuracy, training.Loss, validation.Loss)
	return words, line
}

// print shows the diagnosis and where the run is.
func (r *trainResult) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, struct {
			Run       string            `json:"run"`
			Status    string            `json:"status"`
			Epochs    int               `json:"epochs"`
			Diagnosis *diagnosis.Report `json:"diagnosis"`
		}{r.dir, r.run.Header.Status, len(r.run.Epochs), r.report})
	}
	if r.report == nil {
		fmt.Fprintf(w, "No diagnosis: %v\n", r.why)
	} else if err := r.report.Text(w, textWidth(w), colourful(w)); err != nil {
		return err
	}
	resume := ""
	if r.run.Header.Status == run.Interrupted {
		resume = "\nGo on: ballast resume " + quoted(r.dir)
	}
	_, err := fmt.Fprintf(w, "\nRun: %s%s\nReport: ballast diagnose %s --html report.html\n", r.dir, resume, quoted(r.dir))
	return err
}

// dryRunTrain prints the resolved plan; the estimate stands in comments, so
// that the output is itself a plan file.
func dryRunTrain(ctx context.Context, job trainJob, w io.Writer, asJSON bool) error {
	c, split, err := job.prepare(ctx)
	if err != nil {
		return err
	}
	sizes, err := train.SizesOf(ctx, c, split, job.plan, train.Reading{Threads: job.workers(), Cache: job.cache})
	if err != nil {
		return err
	}
	estimate, err := untilCancelled(ctx, func() (train.Estimate, error) {
		return train.EstimateCost(job.plan, sizes, job.threads)
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, struct {
			Plan       string         `json:"plan"`
			Classes    []string       `json:"classes"`
			Train      int            `json:"train_subjects"`
			Validation int            `json:"validation_subjects"`
			Test       int            `json:"test_subjects"`
			Estimate   train.Estimate `json:"estimate"`
		}{string(job.plan.YAML()), c.Classes, len(split.Train), len(split.Validation), len(split.Test), estimate})
	}
	fmt.Fprintf(w, "# %d classes; subjects: %d training, %d validation, %d test\n", len(c.Classes), len(split.Train), len(split.Validation), len(split.Test))
	fmt.Fprintf(w, "# %d parameters, %d steps per epoch of %s (%.1f GFLOP, %s kernels)\n",
		estimate.Parameters, estimate.Steps, brief(estimate.Step), estimate.StepFLOPs/1e9, kernel.Path())
	fmt.Fprintf(w, "# about %s of memory and %s for %d epochs\n", bytesText(estimate.Bytes), brief(estimate.Total), job.plan.Epochs)
	_, err = w.Write(job.plan.YAML())
	return err
}

func bytesText(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%d MB", max(1, n>>20))
	}
	return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
}

// cohortName is the name of the cohort's folder or table, without its ending.
func cohortName(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		absolute = path
	}
	base := filepath.Base(absolute)
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		base = base[:len(base)-len(filepath.Ext(base))]
	}
	return base
}

// freeName is the first of stem-1, stem-2, ... that does not exist.
func freeName(stem string) string {
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s-%d", stem, n)
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			return name
		}
	}
}

// checkFolder refuses a folder that is not empty or cannot be made, before
// work is done for it. It leaves the disk as it was.
func checkFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if len(entries) > 0 {
		return fmt.Errorf("%w: it holds %s; choose another folder or remove it", run.ErrExists, entries[0].Name())
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return withoutPath(err)
	}
	if _, there := os.Lstat(dir); err != nil && there == nil {
		return errors.New("it is a link to nothing; choose another folder or remove it")
	}
	above := filepath.Clean(dir)
	for errors.Is(err, os.ErrNotExist) {
		above = filepath.Dir(above)
		if _, err = os.Stat(above); above == filepath.Dir(above) {
			break
		}
	}
	trial, err := os.MkdirTemp(above, ".ballast-*")
	if err != nil {
		return fmt.Errorf("cannot write into %s: %w", above, withoutPath(err))
	}
	return os.Remove(trial)
}
