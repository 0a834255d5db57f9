package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ballast/diagnosis"
	"ballast/run"
)

func watchCommand() *cobra.Command {
	w := watcher{every: 2 * time.Second, wait: time.Minute}
	c := &cobra.Command{
		Use:   "watch PATH",
		Short: "Follow a growing run or log, and say when something is wrong",
		Long: "Watch prints a line for every epoch of a run, or of another trainer's log, as it grows, and\n" +
			"says when a verdict first is likely (in two epochs in a row) or confirmed. It ends when the\n" +
			"run does; a log says no end, so that of a log ends with --idle or Ctrl-C.\n\n" +
			"Exit codes: 0 the run ended, or --idle passed; 1 nothing could be read within --wait; 2 wrong\n" +
			"command line; 3 with --fail-on, as soon as a verdict is that or surer; 130 Ctrl-C.",
		Example: "  ballast watch runs/COHORT-1\n" +
			"  ballast watch training.log --classes 2 --idle 30m\n" +
			"  ballast watch lightning_logs/version_3 --fail-on likely || kill $TRAINER\n" +
			"  ballast watch training.log --once",
		Args: exactly(1, "one run folder or log"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := w.job.check(c); err != nil {
				return err
			}
			if w.every < shortestPoll || w.wait < 0 || w.idle < 0 {
				return fmt.Errorf("%w: --every is at least %s, --wait and --idle are not negative", errUsage, shortestPoll)
			}
			w.path, w.out, w.notes = args[0], c.OutOrStdout(), c.ErrOrStderr()
			return w.watch(c.Context())
		},
	}
	w.job.add(c)
	c.Flags().DurationVar(&w.every, "every", w.every, "how often to look whether anything was written")
	c.Flags().DurationVar(&w.wait, "wait", w.wait, "how long to wait for a first epoch")
	c.Flags().DurationVar(&w.idle, "idle", 0, "end when nothing was written for so long (default never)")
	c.Flags().BoolVar(&w.once, "once", false, "print and judge what is there, and end")
	return c
}

const shortestPoll = 100 * time.Millisecond

// A watcher follows one path.
type watcher struct {
	job               diagnosisJob
	path              string
	every, wait, idle time.Duration
	once              bool
	out, notes        io.Writer

	followed  map[string]*followed // by name of the run
	complaint string               // the last one, said once
}

// A followed is one run of the path.
type followed struct {
	printed int               // epochs that were printed
	before  map[string]string // verdicts by cause after the epoch before
	said    map[string]string // surest verdict by cause that was said
}

// watch looks again and again until the run ends, the patience, or the user's.
// What is on disk is read only when a size or a time of change differs.
func (w *watcher) watch(ctx context.Context) error {
	w.followed = map[string]*followed{}
	ticker := time.NewTicker(w.every)
	defer ticker.Stop()
	start := time.Now()
	changed, last := start, uint64(0)
	for {
		if now := w.fingerprint(); now != last || w.once {
			changed, last = time.Now(), now
			ended, err := w.look(ctx)
			if err != nil || ended || w.once {
				return err
			}
		}
		switch {
		case len(w.followed) == 0 && time.Since(start) >= w.wait:
			return fmt.Errorf("watch %s: no epoch within %s%s", w.path, brief(w.wait), prefixed(": ", w.complaint))
		case len(w.followed) > 0 && w.idle > 0 && time.Since(changed) >= w.idle:
			fmt.Fprintf(w.notes, "note: nothing was written for %s\n", brief(w.idle))
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func prefixed(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

// mostWatched bounds the files of a folder that are looked at.
const mostWatched = 5000

// fingerprint changes when a file of the path is written: names, sizes and times.
func (w *watcher) fingerprint() uint64 {
	sum, files := fnv.New64a(), 0
	_ = filepath.WalkDir(w.path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		if files++; files > mostWatched {
			return filepath.SkipAll
		}
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintln(sum, path, info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
	return sum.Sum64()
}

// look reads the path, prints what came to it and judges it. It reports whether
// the run has ended. What cannot be read is said once: a log may be half
// written.
func (w *watcher) look(ctx context.Context) (ended bool, err error) {
	type record struct {
		run  *run.Run
		logs []*run.Curves
	}
	read, err := untilCancelled(ctx, func() (record, error) {
		r, logs, err := openRecord(w.path)
		if err == nil {
			logs, err = w.job.chosen(w.path, logs)
		}
		return record{r, logs}, err
	})
	switch {
	case err == nil:
	case w.once, ctx.Err() != nil:
		return false, err
	default:
		w.complain(err)
		return false, nil
	}
	w.complaint = ""
	if read.run != nil {
		if err := w.follow(ctx, "", pointsOf(read.run), func(epochs int) (*diagnosis.Report, error) {
			part := *read.run
			part.Epochs = part.Epochs[:epochs]
			return diagnosis.Diagnose(&part)
		}); err != nil {
			return false, err
		}
		return w.ended(read.run), nil
	}
	if only := w.followed[""]; only != nil && len(read.logs) > 1 {
		w.followed[read.logs[0].Name] = only // a second run has begun
		delete(w.followed, "")
	}
	for _, curves := range read.logs {
		name := ""
		if len(read.logs) > 1 {
			name = curves.Name
		}
		if err := w.follow(ctx, name, curves.Points, func(epochs int) (*diagnosis.Report, error) {
			part := *curves
			part.Points = part.Points[:epochs]
			return diagnosis.DiagnoseCurves(&part, w.job.options)
		}); err != nil {
			return false, err
		}
	}
	return false, nil
}

func (w *watcher) complain(err error) {
	if text := err.Error(); text != w.complaint {
		w.complaint = text
		if len(w.followed) > 0 {
			fmt.Fprintln(w.notes, "note: "+text)
		}
	}
}

// ended reports whether a run goes on no more.
func (w *watcher) ended(r *run.Run) bool {
	if r.Header.Status == run.Running {
		return false
	}
	fmt.Fprintf(w.out, "the run is %s after %d epochs\n", r.Header.Status, len(r.Epochs))
	return true
}

// pointsOf are the curves of a run as they were logged.
func pointsOf(r *run.Run) []run.Point {
	nan := run.Float(math.NaN())
	var points []run.Point
	for i := range r.Epochs {
		e := &r.Epochs[i]
		p := run.Point{Epoch: e.Epoch, Step: e.Step, TrainLoss: nan, TrainAccuracy: nan, ValidationLoss: nan, ValidationAccuracy: nan, LearningRate: e.LearningRate}
		if v := e.Evaluation(run.Logged, run.Train); v != nil {
			p.TrainLoss, p.TrainAccuracy = v.Loss, v.Accuracy
		}
		if v := e.Evaluation(run.Logged, run.Validation); v != nil {
			p.ValidationLoss, p.ValidationAccuracy = v.Loss, v.Accuracy
		}
		points = append(points, p)
	}
	return points
}

// follow prints the epochs that are new and judges after the last two of them.
// The newest epoch waits for its validation values or for the next one.
func (w *watcher) follow(ctx context.Context, name string, points []run.Point, judge func(epochs int) (*diagnosis.Report, error)) error {
	f := w.followed[name]
	if f == nil {
		f = &followed{before: map[string]string{}, said: map[string]string{}}
	}
	if f.printed > len(points) {
		fmt.Fprintf(w.notes, "note: %s begins again\n", w.path)
		*f = followed{before: map[string]string{}, said: map[string]string{}}
	}
	from := f.printed
	for i := from; i < len(points); i++ {
		if i == len(points)-1 && !w.once && !validated(&points[i]) {
			break
		}
		fmt.Fprintln(w.out, prefixedName(name)+lineOf(&points[i]))
		f.printed = i + 1
		w.followed[name] = f
	}
	first := max(from+1, f.printed-1)
	if w.once {
		first = max(1, f.printed)
	}
	for epochs := first; epochs <= f.printed; epochs++ {
		report, err := untilCancelled(ctx, func() (*diagnosis.Report, error) { return judge(epochs) })
		switch {
		case errors.Is(err, diagnosis.ErrTooShort):
			continue
		case err != nil:
			return err
		}
		if err := w.say(name, f, report, points[epochs-1].Epoch); err != nil {
			return err
		}
	}
	return nil
}

func prefixedName(name string) string {
	if name == "" {
		return ""
	}
	return name + ": "
}

func validated(p *run.Point) bool {
	return p.ValidationAccuracy == p.ValidationAccuracy || p.ValidationLoss == p.ValidationLoss || len(p.LoggedNaN) > 0
}

// lineOf is an epoch in a line.
func lineOf(p *run.Point) string {
	value := func(x run.Float, name string) string {
		if x == x {
			return fmt.Sprintf("%.4g", float64(x))
		}
		for _, logged := range p.LoggedNaN {
			if logged == name {
				return "nan"
			}
		}
		return "-"
	}
	return fmt.Sprintf("epoch %d: training loss %s, accuracy %s; validation loss %s, accuracy %s", p.Epoch,
		value(p.TrainLoss, run.TrainLoss), value(p.TrainAccuracy, run.TrainAccuracy),
		value(p.ValidationLoss, run.ValidationLoss), value(p.ValidationAccuracy, run.ValidationAccuracy))
}

// say tells of verdicts that are surer than any said before. What is not
// confirmed has to hold in two epochs in a row, unless there is one look only.
func (w *watcher) say(name string, f *followed, report *diagnosis.Report, epoch int) error {
	verdicts := map[string]string{}
	var failed []string
	for _, finding := range report.ForReading() {
		verdicts[finding.ID] = finding.Verdict
		verdict := finding.Verdict
		if verdict != diagnosis.Confirmed && !w.once {
			verdict = lesser(verdict, f.before[finding.ID])
		}
		if atLeast(verdict, diagnosis.Likely) && !atLeast(f.said[finding.ID], verdict) {
			f.said[finding.ID] = verdict
			fmt.Fprintf(w.out, "%sepoch %d: %s: %s%s\n", prefixedName(name), epoch, verdict, finding.Title, prefixed(": ", firstEvidence(&finding)))
		}
		if atLeast(verdict, w.job.failOn) {
			failed = append(failed, finding.ID+" is "+verdict)
		}
	}
	f.before = verdicts
	if len(failed) > 0 {
		return fmt.Errorf("%w: %s%s after epoch %d: %s (--fail-on %s)", errFindings, w.path, prefixed(", ", name), epoch, strings.Join(failed, ", "), w.job.failOn)
	}
	return nil
}

// lesser is the less sure of two verdicts; "" is the least.
func lesser(a, b string) string {
	for _, level := range failVerdicts {
		if atLeast(a, level) && atLeast(b, level) {
			return level
		}
	}
	return ""
}

func firstEvidence(f *diagnosis.Finding) string {
	if len(f.Evidence) == 0 {
		return ""
	}
	return f.Evidence[0].Text
}
