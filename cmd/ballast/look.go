package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ballast/cohort"
	"ballast/prep"
	"ballast/run"
	"ballast/train"
)

func lookCommand() *cobra.Command {
	var o lookOptions
	var noCache, asJSON bool
	c := &cobra.Command{
		Use:   "look COHORT|RUN",
		Short: "Draw a contact sheet of what the network sees",
		Long: "Look draws images of each class and site before and after preprocessing and as they are\n" +
			"changed at random in the first epochs: one PNG. Of a cohort it shows what train would do\n" +
			"by the same plan. Of a run it shows, bit for bit, what the network was given; the images\n" +
			"are read again, so the cohort has to be named: --cohort.",
		Example: "  ballast look COHORT --out sheet.png\n" +
			"  ballast look COHORT --set augment.preset=mri --augment 6\n" +
			"  ballast look runs/COHORT-1 --cohort COHORT --subject sub-07 --epoch 12\n" +
			"  ballast look COHORT --subject sub-07 --record draws.json",
		Args: exactly(1, "one cohort or run"),
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := o.plan()
			if err == nil {
				err = o.check()
			}
			if err != nil {
				return err
			}
			cache, err := cacheUnless(noCache)
			if err != nil {
				return err
			}
			l := looker{lookOptions: o, job: trainJob{cohort: args[0], plan: plan, threads: o.threads, quiet: o.quiet, stderr: c.ErrOrStderr(), cache: cache}}
			sheet, err := l.sheet(c.Context(), args[0])
			if err != nil {
				return err
			}
			return sheet.print(c.OutOrStdout(), asJSON)
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.planFile, "plan", "", "of a cohort: YAML file with the plan; what it leaves out is the default")
	flags.StringVar(&o.label, "label", "", "of a cohort: column with the class (default: found by name)")
	flags.StringVar(&o.mask, "mask", "", "of a cohort: column with the mask file (default: found by name)")
	flags.StringVar(&o.site, "site", "", "of a cohort: column with the scanner or hospital")
	flags.StringSliceVar(&o.path, "path", nil, "of a cohort: column with the image file (default: found by name); several are channels")
	flags.StringArrayVar(&o.set, "set", nil, "of a cohort: change one value of the plan, as in augment.preset=mri or data.subject=patient; may be repeated")
	flags.StringVar(&o.out, "out", "", "PNG to write (default NAME-look.png)")
	flags.StringVar(&o.cohort, "cohort", "", "the cohort that a run was trained on")
	flags.StringArrayVar(&o.subjects, "subject", nil, "show all images of this subject instead of a choice; may be repeated")
	flags.IntVar(&o.perGroup, "images", 0, "images of each class and site (default: so many that there are about 12)")
	flags.IntVar(&o.augment, "augment", 3, "epochs to show the changed images of")
	flags.IntVar(&o.epoch, "epoch", 1, "first of these epochs")
	flags.StringVar(&o.record, "record", "", "also write the parameters of every change to this JSON file")
	flags.StringVar(&o.replay, "replay", "", "take the parameters of the changes from such a file instead of drawing them")
	flags.IntVar(&o.threads, "threads", 0, "threads to use; the result does not depend on it (default all)")
	addNoCache(c, &noCache)
	flags.BoolVar(&asJSON, "json", false, "print what is shown, with all parameters and checksums, as JSON")
	flags.BoolVar(&o.quiet, "quiet", false, "show no progress")
	return c
}

type lookOptions struct {
	planFile, label, mask, site, out, cohort, record, replay string
	path, set, subjects                                      []string
	perGroup, augment, epoch, threads                        int
	quiet                                                    bool
}

const (
	mostRows   = 24 // of a sheet
	usualRows  = 12
	mostEpochs = 24
)

func (o *lookOptions) check() error {
	for _, flag := range []struct {
		name             string
		value, low, high int
	}{{"augment", o.augment, 0, mostEpochs}, {"epoch", o.epoch, 1, 1_000_000}, {"images", o.perGroup, 0, mostRows}} {
		if flag.value < flag.low || flag.value > flag.high {
			return fmt.Errorf("%w: --%s is %d; it must lie between %d and %d", errUsage, flag.name, flag.value, flag.low, flag.high)
		}
	}
	if o.record != "" && o.replay != "" {
		return fmt.Errorf("%w: --record writes what was drawn and --replay takes it from a file: choose one", errUsage)
	}
	return nil
}

// plan is the plan of a cohort's sheet.
func (o *lookOptions) plan() (train.Plan, error) {
	plan := train.DefaultPlan()
	if o.planFile != "" {
		var err error
		if plan, err = readPlan(o.planFile); err != nil {
			return plan, fmt.Errorf("%w: read plan %s: %w", errUsage, o.planFile, withoutPath(err))
		}
	}
	plan.Data.Label = cmp.Or(o.label, plan.Data.Label)
	plan.Data.Mask = cmp.Or(o.mask, plan.Data.Mask)
	plan.Data.Site = cmp.Or(o.site, plan.Data.Site)
	if len(o.path) > 0 {
		plan.Data.Path = o.path
	}
	for _, assignment := range o.set {
		if err := setKey(&plan, assignment); err != nil {
			return plan, err
		}
	}
	return plan, plan.Validate()
}

// changesPlan tells whether a flag does.
func (o *lookOptions) changesPlan() bool {
	return o.planFile+o.label+o.mask+o.site != "" || len(o.path)+len(o.set) > 0
}

// A looker finds out what the network sees.
type looker struct {
	lookOptions
	job    trainJob
	config prep.Config
	all    *cohort.Cohort
	split  cohort.Split
	run    *run.Run // nil of a cohort
}

// sheet makes the contact sheet of a cohort or run and writes it.
func (l *looker) sheet(ctx context.Context, path string) (*contactSheet, error) {
	_, err := os.Stat(filepath.Join(path, run.HeaderFile))
	if isRun := err == nil; isRun {
		if l.changesPlan() {
			return nil, fmt.Errorf("%w: a run has its own plan: --plan, --set and the columns go with a cohort, and %s is a run", errUsage, path)
		}
		err = l.openRun(path)
	} else {
		if l.cohort != "" {
			return nil, fmt.Errorf("%w: --cohort names the images of a run, but %s is no run", errUsage, path)
		}
		err = l.openCohort(ctx)
	}
	if err != nil {
		return nil, err
	}
	rows, left, err := l.choose()
	if err != nil {
		return nil, err
	}
	if l.replay != "" {
		err = readDraws(l.replay, rows)
	} else {
		l.draw(rows)
	}
	if err == nil {
		err = l.read(ctx, rows)
	}
	if err != nil {
		return nil, err
	}
	s := &contactSheet{
		File: cmp.Or(l.out, cohortName(path)+"-look.png"), Cohort: cmp.Or(l.cohort, path), Seed: l.job.plan.Seed,
		Grid: l.config.Grid, Spacing: l.config.Spacing, Channels: max(1, l.config.Channels), Sequences: l.all.Sequences,
		Crop: l.config.Crop, Normalise: l.config.Normalise, NotShown: left, Images: rows, anatomical: l.config.Orient != "stored",
	}
	if l.run != nil {
		s.Run = path
	}
	if l.record != "" {
		if err := writeDraws(l.record, rows); err != nil {
			return nil, err
		}
	}
	return s, s.write()
}

func (l *looker) openCohort(ctx context.Context) error {
	var err error
	if l.all, l.split, err = l.job.prepare(ctx); err != nil {
		return err
	}
	l.config, err = train.Preparation(ctx, l.all, l.split, l.job.plan, train.Reading{Threads: l.job.workers(), Cache: l.job.cache})
	return err
}

// openRun opens a run and the cohort it was trained on, and holds one against the
// other.
func (l *looker) openRun(path string) error {
	if l.cohort == "" {
		return fmt.Errorf("%w: a run does not hold its images: name its cohort with --cohort", errUsage)
	}
	var err error
	if l.run, l.job.plan, l.config, err = train.OpenForReplay(path); err != nil {
		return fmt.Errorf("%w: %w", errInput, err)
	}
	if l.job.plan.Mistakes.ChangeSubjects() {
		return fmt.Errorf("%w: %s plants mistakes in its subjects (section mistakes of its plan.yaml), which look does not repeat; it shows the cohort itself: ballast look %s", errInput, path, l.cohort)
	}
	if l.all, err = cohort.Open(l.cohort, cohort.Options(l.job.plan.Data)); err != nil {
		return err
	}
	known := map[string]int{}
	for i, subject := range l.all.Subjects {
		known[subject.ID] = i
	}
	for name, indices := range map[string]*[]int{run.Train: &l.split.Train, run.Validation: &l.split.Validation, run.Test: &l.split.Test} {
		for _, subject := range l.run.Header.Sets[name] {
			i, ok := known[subject.ID]
			if !ok || l.all.Classes[l.all.Subjects[i].Class] != l.run.Header.Classes[subject.Class] {
				return fmt.Errorf("%s is not the cohort of %s: its subject %q of class %q is not there", l.cohort, path, subject.ID, l.run.Header.Classes[subject.Class])
			}
			*indices = append(*indices, i)
		}
	}
	return nil
}

// A lookRow is one image on a sheet.
type lookRow struct {
	Subject string       `json:"subject"`
	Class   string       `json:"class"`
	Site    string       `json:"site,omitempty"`
	Set     string       `json:"set"`
	File    string       `json:"file"`
	Image   int          `json:"image"`  // of the subject, from 0
	Sample  int          `json:"sample"` // index into the training images; -1 of other sets
	Whole   wholeFacts   `json:"whole"`
	Seen    imageFacts   `json:"prepared"`
	Epochs  []*lookEpoch `json:"epochs"`

	image     cohort.Image
	within    int // which result of the image
	overviews []*prep.Overview
	prepared  *prep.Image
}

// A lookEpoch is an image as it is changed in an epoch.
type lookEpoch struct {
	Epoch int        `json:"epoch"`
	Draw  prep.Draw  `json:"draw"`
	Seen  imageFacts `json:"image"`

	data []float32
}

// member is a subject of a set.
type member struct {
	set     string
	subject int // index into the cohort
	first   int // index of its first image among those of the set
}

// members lists the subjects of all sets, those of the training set first.
func (l *looker) members() []member {
	var list []member
	for _, set := range []struct {
		name     string
		subjects []int
	}{{run.Train, l.split.Train}, {run.Validation, l.split.Validation}, {run.Test, l.split.Test}} {
		first := 0
		for i, subject := range set.subjects {
			list = append(list, member{set.name, subject, first})
			if l.run != nil {
				first += l.run.Header.Sets[set.name][i].Images
			} else {
				first += len(l.all.Subjects[subject].Images)
			}
		}
	}
	return list
}

// choose picks the images to show and says how many groups of a class and a
// site are not shown. Training subjects come first, those with the first IDs.
func (l *looker) choose() (rows []*lookRow, left int, err error) {
	members := l.members()
	if l.config.Slice == "all" && l.config.Dims == 2 && l.run == nil {
		if err := l.countSlices(members); err != nil {
			return nil, 0, err
		}
	}
	if len(l.subjects) > 0 {
		rows, err = l.asked(members)
		return rows, 0, err
	}
	groups := map[string][]member{}
	var names []string
	for _, m := range members {
		subject := l.all.Subjects[m.subject]
		name := fmt.Sprintf("%06d %s", subject.Class, subject.Site)
		if groups[name] == nil {
			names = append(names, name)
		}
		groups[name] = append(groups[name], m)
	}
	slices.Sort(names)
	perGroup := l.perGroup
	if perGroup == 0 {
		perGroup = min(max(usualRows/len(names), 1), 4)
	}
	shown := l.mostOf(names, groups, max(1, mostRows/perGroup))
	for _, name := range shown {
		for _, m := range groups[name][:min(perGroup, len(groups[name]))] {
			// Of a volume that becomes many slices, the middle one.
			results, err := l.results(l.all.Subjects[m.subject].Images[0])
			if err != nil {
				return nil, 0, err
			}
			row := l.row(m, 0, results/2)
			row.within = results / 2
			rows = append(rows, row)
		}
	}
	return rows, len(names) - len(shown), nil
}

// mostOf keeps the groups that fit on a sheet: of each class in turn the one with
// the most subjects.
func (l *looker) mostOf(names []string, groups map[string][]member, most int) []string {
	if len(names) <= most {
		return names
	}
	byClass := map[string][]string{}
	for _, name := range names {
		byClass[name[:6]] = append(byClass[name[:6]], name)
	}
	rank := map[string]int{}
	for _, list := range byClass {
		slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(len(groups[b]), len(groups[a])) })
		for place, name := range list {
			rank[name] = place
		}
	}
	kept := slices.Clone(names)
	slices.SortStableFunc(kept, func(a, b string) int { return cmp.Compare(rank[a], rank[b]) })
	kept = kept[:most]
	slices.Sort(kept)
	return kept
}

// asked lists the images of the subjects that were asked for.
func (l *looker) asked(members []member) ([]*lookRow, error) {
	var rows []*lookRow
	for _, id := range l.subjects {
		at := slices.IndexFunc(members, func(m member) bool { return l.all.Subjects[m.subject].ID == id })
		if at < 0 {
			return nil, fmt.Errorf("%w: there is no subject %q; the first is %q", errUsage, id, l.all.Subjects[members[0].subject].ID)
		}
		m := members[at]
		n := 0
		for i, image := range l.all.Subjects[m.subject].Images {
			results, err := l.results(image)
			if err != nil {
				return nil, err
			}
			for within := range results {
				row := l.row(m, i, n)
				row.within = within
				rows = append(rows, row)
				n++
			}
		}
	}
	if len(rows) > mostRows {
		fmt.Fprintf(l.job.stderr, "note: %d images; the first %d are shown\n", len(rows), mostRows)
		rows = rows[:mostRows]
	}
	return rows, nil
}

// results is how many images an image becomes: one, or one for each slice.
func (l *looker) results(image cohort.Image) (int, error) {
	if l.config.Slice != "all" || l.config.Dims != 2 {
		return 1, nil
	}
	prepared, err := l.job.cache.Images(image, l.config)
	return len(prepared), err
}

// countSlices corrects the indices of images where each becomes several.
func (l *looker) countSlices(members []member) error {
	first, set := 0, ""
	for i := range members {
		if members[i].set != set {
			first, set = 0, members[i].set
		}
		members[i].first = first
		for _, image := range l.all.Subjects[members[i].subject].Images {
			n, err := l.results(image)
			if err != nil {
				return err
			}
			first += n
		}
	}
	return nil
}

// row describes an image of a subject: file number i, result number n of all its
// files.
func (l *looker) row(m member, i, n int) *lookRow {
	subject := l.all.Subjects[m.subject]
	row := &lookRow{
		Subject: subject.ID, Class: l.all.Classes[subject.Class], Site: subject.Site, Set: m.set,
		File: subject.Images[i].Path, Image: n, Sample: -1, image: subject.Images[i],
	}
	if m.set == run.Train {
		row.Sample = m.first + n
	}
	return row
}

// draw draws what happens to the training images in the epochs that are shown.
func (l *looker) draw(rows []*lookRow) {
	var notes []string
	if p := l.job.plan; l.augment > 0 && p.Augment.Mixup.Alpha > 0 {
		notes = append(notes, "training mixes these images in pairs (augment.mixup); they are shown before")
	}
	if p := l.job.plan; l.augment > 0 && p.Sampling.Draw == "balanced" {
		notes = append(notes, "an epoch may use an image several times or not at all (sampling.draw is balanced); its first use is shown")
	}
	l.job.tell(notes, "note: ")
	for _, row := range rows {
		for epoch := l.epoch; epoch < l.epoch+l.augment && row.Sample >= 0; epoch++ {
			row.Epochs = append(row.Epochs, &lookEpoch{Epoch: epoch, Draw: l.job.plan.DrawOf(row.Sample, epoch)})
		}
	}
}

// overviewVoxels is the longest side of a whole image, somewhat more than the
// pixels it is drawn on.
const overviewVoxels = 200

// read reads, prepares and changes the images.
func (l *looker) read(ctx context.Context, rows []*lookRow) error {
	bar := newTracker(l.job.stderr, "reading images", l.quiet)
	defer bar.done()
	for n, row := range rows {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		prepared, err := l.job.cache.Images(row.image, l.config)
		if err != nil {
			return err
		}
		if row.within >= len(prepared) {
			return fmt.Errorf("%s: %d images where %d were expected", row.File, len(prepared), row.within+1)
		}
		row.prepared = prepared[row.within]
		row.Seen = factsOf(row.prepared.Data)
		if row.overviews, err = prep.Overlook(row.image, l.config, row.within, overviewVoxels); err != nil {
			return err
		}
		row.Whole = wholeFactsOf(row.overviews[0])
		for _, epoch := range row.Epochs {
			if err := epoch.Draw.CheckFits(row.prepared); err != nil {
				return fmt.Errorf("subject %s, epoch %d: %w", row.Subject, epoch.Epoch, err)
			}
			epoch.data = make([]float32, len(row.prepared.Data))
			prep.Apply(epoch.data, row.prepared, epoch.Draw)
			epoch.Seen = factsOf(epoch.data)
		}
		bar.to(float64(n+1) / float64(len(rows)))
	}
	return nil
}

// changes names what a draw does to an image, in a few words.
func changes(d prep.Draw, flat bool) string {
	var words []string
	for axis, name := range [3]string{"superior-inferior", "anterior-posterior", "left-right"} {
		if d.Flip[axis] && !(flat && axis == 0) {
			words = append(words, "flip "+name)
		}
	}
	if shift := d.Shift[:]; flat && (shift[1] != 0 || shift[2] != 0) {
		words = append(words, fmt.Sprintf("shift %d %d", shift[1], shift[2]))
	} else if !flat && d.Shift != [3]int{} {
		words = append(words, fmt.Sprintf("shift %d %d %d", shift[0], shift[1], shift[2]))
	}
	for _, member := range []struct {
		name  string
		drawn bool
	}{
		{"affine", d.Affine != nil}, {"elastic", d.Elastic != nil}, {"bias", d.Bias != nil}, {"motion", d.Motion != nil},
		{"ghosting", d.Ghosting != nil}, {"downsample", d.Downsample != nil}, {"blur", d.Blur != nil}, {"rician", d.Rician != nil},
		{"noise", d.Noise != nil}, {"gamma", d.Gamma != nil}, {"contrast", d.Contrast != nil}, {"cutout", d.Cutout != nil},
	} {
		if member.drawn {
			words = append(words, member.name)
		}
	}
	return cmp.Or(strings.Join(words, ", "), "unchanged")
}

// print tells what is on the sheet.
func (s *contactSheet) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, s)
	}
	for _, row := range s.Images {
		site := ""
		if row.Site != "" {
			site = ", site " + row.Site
		}
		fmt.Fprintf(w, "%s (%s%s, %s): %s\n", row.Subject, row.Class, site, row.Set, row.File)
		for _, epoch := range row.Epochs {
			fmt.Fprintf(w, "  epoch %d: %s\n", epoch.Epoch, changes(epoch.Draw, s.flat()))
		}
	}
	if s.NotShown > 0 {
		fmt.Fprintf(w, "%d more groups of a class and a site are not shown; --subject shows any subject\n", s.NotShown)
	}
	_, err := fmt.Fprintf(w, "Sheet: %s\n", s.File)
	return err
}
