package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ballast/cohort"
	"ballast/evaluation"
	"ballast/prep"
	"ballast/run"
	"ballast/stat"
	"ballast/train"
	"ballast/web"
)

func evaluateCommand() *cobra.Command {
	j := &evaluateJob{}
	var asJSON, noCache bool
	c := &cobra.Command{
		Use:   "evaluate RUN COHORT",
		Short: "Measure a trained run on subjects, with intervals, baselines and subgroups",
		Long: "Evaluate predicts the labelled subjects of a cohort with a run and measures how good the\n" +
			"predictions are, each measure with its 95 % interval over subjects, beside baselines that need\n" +
			"no network. Subjects that the run trained on are left out unless --set asks for them: scores\n" +
			"on them are no evidence. The columns of the table are those of the run's plan unless named.",
		Example: "  ballast evaluate runs/COHORT-1 COHORT --html evaluation.html\n" +
			"  ballast evaluate runs/COHORT-1 COHORT --mc 50 --temperature --by scanner\n" +
			"  ballast evaluate runs/COHORT-1 OTHER --ensemble runs/COHORT-2 --ensemble runs/COHORT-3 --out predictions.tsv",
		Args: exactly(2, "a run folder and a cohort"),
		RunE: func(c *cobra.Command, args []string) error {
			j.run, j.cohort, j.stderr, j.changed = args[0], args[1], c.ErrOrStderr(), c.Flags().Changed
			if err := j.checkFlags(); err != nil {
				return err
			}
			var err error
			if j.cache, err = cacheUnless(noCache); err != nil {
				return err
			}
			report, err := j.evaluate(c.Context())
			if err != nil {
				return err
			}
			if err := j.write(report); err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), report)
			}
			return report.Text(c.OutOrStdout(), textWidth(c.OutOrStdout()))
		},
	}
	j.addFlags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	addNoCache(c, &noCache)
	return c
}

func (j *evaluateJob) addFlags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&j.set, "set", "", "train, validation or test of the run's own split, or all (default: all that no member trained on)")
	flags.StringVar(&j.weights, "weights", train.LastWeights, "last, best or averaged")
	flags.IntVar(&j.samples, "mc", 0, "Monte-Carlo dropout: samples per subject, whose mean is the prediction")
	flags.StringArrayVar(&j.others, "ensemble", nil, "a further run whose predictions are averaged with RUN's; may be repeated")
	flags.BoolVar(&j.snapshots, "snapshots", false, "average the last, best and averaged weights of each run")
	flags.BoolVar(&j.temperature, "temperature", false, "scale confidence by one temperature fitted on the run's validation subjects")
	flags.StringVar(&j.threshold, "threshold", "0.5", "of two classes: the probability above which the positive one is predicted, or validation: the best on the run's validation subjects")
	flags.StringVar(&j.positive, "positive", "", "of two classes: the one that sensitivity and the curves are about (default the second)")
	flags.StringSliceVar(&j.by, "by", nil, "columns to show subgroups by (default: the site)")
	flags.StringSliceVar(&j.covariates, "covariates", nil, "columns for a baseline of clinical values (default: those that the run was given)")
	flags.BoolVar(&j.noBaselines, "no-baselines", false, "fit no baselines: the images of the training subjects are then not read")
	flags.StringVar(&j.html, "html", "", "also write a one-file report with figures")
	flags.StringVar(&j.out, "out", "", "also write every subject's prediction to a tab-separated file")
	flags.StringVar(&j.data.Label, "label", "", "column with the class (default: the run's)")
	flags.StringVar(&j.data.Subject, "subject", "", "column with the patient (default: the run's)")
	flags.StringVar(&j.data.Mask, "mask", "", "column with the mask file (default: the run's)")
	flags.StringVar(&j.data.Site, "site", "", "column with the scanner or hospital (default: the run's)")
	flags.StringSliceVar(&j.data.Path, "path", nil, "column with the image file (default: the run's)")
	flags.StringVar(&j.data.Session, "session", "", "the visit to use, or first (default: the run's)")
	flags.IntVar(&j.threads, "threads", 0, "threads to use; the result does not depend on it (default all)")
	flags.BoolVar(&j.quiet, "quiet", false, "show no progress")
}

// An evaluateJob is one evaluation from runs and a cohort on disk to a report.
type evaluateJob struct {
	run, cohort            string
	weights, set           string
	samples                int
	others                 []string // runs of the ensemble besides run
	snapshots, temperature bool
	threshold, positive    string
	by, covariates         []string
	noBaselines            bool
	html, out              string
	data                   cohort.Options // columns named on the command line
	changed                func(flag string) bool
	threads                int
	quiet                  bool
	cache                  *prep.Cache
	stderr                 io.Writer

	*ensemble
	evaluated, training, validated []candidate
}

// checkFlags refuses what cannot be meant before anything is read.
func (j *evaluateJob) checkFlags() error {
	if err := checkWeights(j.weights); err != nil {
		return err
	}
	if known := []string{"", run.Train, run.Validation, run.Test, everybody}; !slices.Contains(known, j.set) {
		return fmt.Errorf("%w: --set is %q; it can be train, validation, test or all", errUsage, j.set)
	}
	if err := checkSamples(j.samples, j.changed("mc")); err != nil {
		return err
	}
	if j.snapshots && j.changed("weights") {
		return fmt.Errorf("%w: --snapshots takes all weights; leave --weights out", errUsage)
	}
	if x, err := strconv.ParseFloat(j.threshold, 64); j.threshold != run.Validation && (err != nil || !(x > 0 && x < 1)) {
		return fmt.Errorf("%w: --threshold is %q; it can be a probability between 0 and 1, or validation", errUsage, j.threshold)
	}
	for _, file := range []struct {
		name string
		ours func(string) bool
		kind string
	}{{j.html, isPage, "HTML page"}, {j.out, isPredictions, "table of predictions"}} {
		if file.name == "" {
			continue
		}
		if err := checkTarget(file.name, file.ours, file.kind); err != nil {
			return fmt.Errorf("write %s: %w", file.name, err)
		}
	}
	return nil
}

// evaluate predicts, measures and compares. It writes nothing.
func (j *evaluateJob) evaluate(ctx context.Context) (*evaluation.Report, error) {
	if err := j.openRuns(); err != nil {
		return nil, err
	}
	defer j.close()
	c, err := j.openCohort()
	if err != nil {
		return nil, err
	}
	var notes []string
	if notes, err = j.choose(c); err != nil {
		return nil, err
	}
	p, err := j.predictions(ctx, j.evaluated, "predicting")
	if err != nil {
		return nil, err
	}
	if p, err = j.group(p, c); err != nil {
		return nil, err
	}
	how := evaluation.How{Weights: j.weights, MonteCarlo: j.samples, Temperature: 1}
	p, options, fitted, err := j.fix(ctx, p, &how)
	if err != nil {
		return nil, err
	}
	report, err := evaluation.Evaluate(p, options)
	if err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", j.run, err)
	}
	how.Threshold, how.Draws = report.How.Threshold, report.How.Draws
	for _, member := range j.members {
		how.Members = append(how.Members, member.Dir+" "+member.Weights)
	}
	report.How, report.Run, report.Cohort, report.Set = how, j.run, j.cohort, j.described()
	report.Notes = slices.Concat(report.Notes, notes, fitted)
	for _, column := range j.by {
		report.AddGroups(column)
	}
	if !j.noBaselines {
		if err := j.addBaselines(ctx, report); err != nil {
			return nil, err
		}
	}
	return report, nil
}

// openRuns loads the weights of RUN and of the other members of the ensemble.
func (j *evaluateJob) openRuns() (err error) {
	weights := []string{j.weights}
	if j.snapshots {
		weights = []string{train.LastWeights, train.BestWeights, train.AveragedWeights}
		j.weights = "last, best and averaged"
	}
	if j.ensemble, err = openEnsemble(append([]string{j.run}, j.others...), weights, j.samples, j.threads, j.cache); err != nil {
		return err
	}
	if n := len(j.members[0].Classes); n > 2 && (j.changed("threshold") || j.positive != "") {
		return fmt.Errorf("%w: --threshold and --positive are for two classes; %s has %d", errUsage, j.run, n)
	}
	return nil
}

func (j *evaluateJob) workers() int {
	if j.threads > 0 {
		return j.threads
	}
	return runtime.GOMAXPROCS(0)
}

// openCohort opens the cohort with the columns of the run's plan, but for those
// that are named on the command line.
func (j *evaluateJob) openCohort() (*cohort.Cohort, error) {
	options := cohort.Options(j.members[0].Plan.Data)
	options.Set, options.Fold = "", ""
	for _, named := range []struct {
		flag     string
		from, to *string
	}{
		{"label", &j.data.Label, &options.Label}, {"subject", &j.data.Subject, &options.Subject}, {"mask", &j.data.Mask, &options.Mask},
		{"site", &j.data.Site, &options.Site}, {"session", &j.data.Session, &options.Session},
	} {
		if j.changed(named.flag) {
			*named.to = *named.from
		}
	}
	if j.changed("path") {
		options.Path = j.data.Path
	}
	c, err := cohort.Open(j.cohort, options)
	if err != nil {
		return nil, err
	}
	config := &j.members[0].Config
	for _, subject := range c.Subjects {
		for _, image := range subject.Images {
			if config.NeedsMask() && image.Mask == "" {
				return nil, fmt.Errorf("evaluate %s: the run's preprocessing needs masks, but %s has none; name their column with --mask", j.run, image.Path)
			}
			if n := 1 + len(image.Also); n != max(config.Channels, 1) {
				return nil, fmt.Errorf("evaluate %s: the run sees %d sequences of an image, but %s comes with %d; name their columns with --path", j.run, max(config.Channels, 1), image.Path, n)
			}
		}
	}
	return c, nil
}

// predictions predicts subjects with every member: the mean over members, and
// over Monte-Carlo samples where they are asked for.
func (j *evaluateJob) predictions(ctx context.Context, subjects []candidate, label string) (*evaluation.Predictions, error) {
	p := &evaluation.Predictions{Classes: j.members[0].Classes, Positive: 1}
	if j.positive != "" {
		if p.Positive = slices.Index(p.Classes, j.positive); p.Positive < 0 {
			return nil, fmt.Errorf("%w: --positive is %q; the classes are %s", errUsage, j.positive, strings.Join(p.Classes, ", "))
		}
	}
	bar := newTracker(j.stderr, label, j.quiet)
	defer bar.done()
	done := bar.counter(len(subjects))
	for _, s := range subjects {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows, err := j.rows(s.subject)
		if err != nil {
			return nil, err
		}
		predicted := evaluation.Subject{ID: s.subject.ID, Class: s.class, Set: s.set, Probabilities: rows[0]}
		if len(rows) > 1 {
			predicted.Probabilities, predicted.Samples = stat.MeanProbabilities(rows), rows
		}
		p.Subjects = append(p.Subjects, predicted)
		done()
	}
	return p, nil
}

// fix fits what is asked for on the validation subjects: the temperature, which
// it applies, and the threshold.
func (j *evaluateJob) fix(ctx context.Context, p *evaluation.Predictions, how *evaluation.How) (*evaluation.Predictions, evaluation.Options, []string, error) {
	options := evaluation.Options{}
	how.ThresholdFrom = "the default"
	if j.changed("threshold") {
		how.ThresholdFrom = "as asked for"
	}
	if !j.temperature && j.threshold != run.Validation {
		options.Threshold, _ = strconv.ParseFloat(j.threshold, 64) // checked before
		return p, options, nil, nil
	}
	validation, from, err := j.validation(ctx)
	if err != nil {
		return nil, options, nil, err
	}
	validation.Positive = p.Positive
	var notes []string
	if j.temperature {
		if temperature, err := evaluation.FitTemperature(validation); err == nil {
			p, validation = p.Cool(temperature), validation.Cool(temperature)
			how.Temperature, how.TemperatureFrom = run.Float(temperature), from
		} else { // evaluated all the same: what could not be fitted is said
			notes = append(notes, fmt.Sprintf("confidence stays as it is: %v (%s)", err, from))
		}
	}
	options.Threshold, _ = strconv.ParseFloat(j.threshold, 64)
	if j.threshold == run.Validation {
		if options.Threshold = evaluation.FitThreshold(validation); !(options.Threshold > 0 && options.Threshold < 1) {
			return nil, options, nil, fmt.Errorf("--threshold validation: %s cannot tell one: it has subjects of one class, or all are predicted alike", from)
		}
		how.ThresholdFrom = "highest sensitivity + specificity on " + from
	}
	return p, options, append(notes, j.shared(validation)...), nil
}

// shared warns of subjects that something was fitted on and that are evaluated.
func (j *evaluateJob) shared(fitted *evaluation.Predictions) []string {
	ids := map[string]bool{}
	for _, s := range fitted.Subjects {
		ids[s.ID] = true
	}
	both := 0
	for _, s := range j.evaluated {
		if ids[s.subject.ID] && s.set == run.Validation {
			both++
		}
	}
	if both == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d of these subjects are those that temperature or threshold was fitted on, so what depends on these is too good; test subjects tell", both)}
}

// validation returns the predictions for the validation subjects of RUN that
// correspond to what is evaluated: of one network those that the run recorded,
// else they are predicted anew.
func (j *evaluateJob) validation(ctx context.Context) (*evaluation.Predictions, string, error) {
	if j.single() {
		p, err := j.recorded()
		if err == nil {
			return p, counted(len(p.Subjects), "validation subject"), nil
		}
		if !errors.Is(err, errUnrecorded) {
			return nil, "", err
		}
	}
	if len(j.validated) == 0 {
		return nil, "", fmt.Errorf("--temperature and --threshold validation need the validation subjects of %s, but %s holds none that no member trained on", j.run, j.cohort)
	}
	p, err := j.predictions(ctx, j.validated, "predicting validation subjects")
	return p, counted(len(j.validated), "validation subject"), err
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// write writes the page and the table that are asked for.
func (j *evaluateJob) write(report *evaluation.Report) error {
	if j.html != "" {
		var page bytes.Buffer
		err := web.Evaluation(&page, report)
		if err == nil {
			err = writePage(j.html, page.Bytes())
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", j.html, withoutPath(err))
		}
	}
	if j.out != "" {
		if err := replaceFile(j.out, predictionTable(report)); err != nil {
			return fmt.Errorf("write %s: %w", j.out, withoutPath(err))
		}
	}
	for _, name := range []string{j.html, j.out} {
		if name != "" && !j.quiet {
			fmt.Fprintln(j.stderr, "wrote "+name)
		}
	}
	return nil
}

// checkTarget refuses a file that cannot be written or is not ours to replace.
func checkTarget(path string, ours func(string) bool, kind string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return errors.New("it is a folder; name a file in it")
	case err == nil && info.Mode().IsRegular() && !ours(path):
		return fmt.Errorf("a file that is no %s is there; choose another name or remove it", kind)
	case err == nil:
		return nil
	}
	temporary, err := writeBeside(path, nil)
	if err != nil {
		return withoutPath(err)
	}
	return os.Remove(temporary)
}

// tableStart begins every table of predictions.
const tableStart = "subject\tclass\tpredicted\tright\tset"

// isPredictions tells whether a file is a table of predictions or empty.
func isPredictions(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	start := make([]byte, len(tableStart))
	n, err := io.ReadFull(file, start)
	return n == 0 && err == io.EOF || string(start[:n]) == tableStart
}

// predictionTable has a row per subject. Tabs and line breaks in names become
// spaces.
func predictionTable(report *evaluation.Report) []byte {
	plain := strings.NewReplacer("\t", " ", "\n", " ", "\r", " ")
	var b bytes.Buffer
	b.WriteString(tableStart)
	for _, class := range report.Classes {
		b.WriteString("\tp_" + plain.Replace(class))
	}
	b.WriteString("\tentropy\tmutual_information\n")
	for _, l := range report.Subjects {
		right := "no"
		if l.Right() {
			right = "yes"
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s", plain.Replace(l.ID), plain.Replace(report.Classes[l.Class]), plain.Replace(report.Classes[l.Predicted]), right, cmp.Or(l.Set, "n/a"))
		for _, p := range l.Probabilities {
			fmt.Fprintf(&b, "\t%.6f", p)
		}
		information := "n/a"
		if x := float64(l.MutualInformation); x == x {
			information = fmt.Sprintf("%.6f", x)
		}
		fmt.Fprintf(&b, "\t%.6f\t%s\n", l.Entropy, information)
	}
	return b.Bytes()
}
