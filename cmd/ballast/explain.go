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

	"github.com/spf13/cobra"

	"ballast/cohort"
	"ballast/explain"
	"ballast/net"
	"ballast/train"
)

func explainCommand() *cobra.Command {
	var o explainOptions
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain RUN IMAGE... | CAUSE",
		Short: "Map where in an image a network looks; or explain a cause of fluctuation",
		Long: "Explain writes, for each image, where in it the network finds what speaks for a class:\n" +
			"a NIfTI overlay in the image's own space, and a PNG. Grad-CAM weighs what a layer gives\n" +
			"by its influence on the class; occlusion covers one box of the image after another and\n" +
			"measures how far the log-odds of the class drop. --sanity makes the same map with random\n" +
			"weights and says how much of it they give as well.\n\n" +
			"A map shows where the network looks, not why. It is no evidence of a biological cause.\n\n" +
			"With the id of a cause, as the report of a run shows it, explain says what that cause is;\n" +
			"without arguments it lists the ids.",
		Example: "  ballast explain runs/COHORT-1 sub-01_T1w.nii.gz --mask sub-01_mask.nii.gz --sanity --out maps\n" +
			"  ballast explain runs/COHORT-1 --cohort COHORT --subject sub-07 --method occlusion\n" +
			"  ballast explain runs/SLICES-1 patient7/3.png --class glioma --layer block3.relu\n" +
			"  ballast explain batch-norm-lag",
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if isCause, err := explainCause(c, args, o.cohort != ""); isCause || err != nil {
				return err
			}
			if err := o.check(args); err != nil {
				return err
			}
			e, err := o.open(args, c.ErrOrStderr())
			if err != nil {
				return err
			}
			defer e.predictor.Close()
			result, err := e.explain(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), result)
			}
			return result.print(c.OutOrStdout())
		},
	}
	flags := c.Flags()
	flags.StringArrayVar(&o.masks, "mask", nil, "mask of the image, one per image in the same order: to measure how the map lies to it, and where the run's preprocessing needs it")
	flags.StringArrayVar(&o.also, "also", nil, "a further sequence of the image, all those of the first image, then of the second")
	flags.StringArrayVar(&o.covariates, "covariate", nil, "a clinical value of the subject, as age=63; may be repeated")
	flags.StringVar(&o.cohort, "cohort", "", "take images, masks and covariates from this cohort, which was described like the run's")
	flags.StringArrayVar(&o.subjects, "subject", nil, "with --cohort: explain all images of this subject; may be repeated")
	flags.StringVar(&o.class, "class", "", "class to explain (default the predicted one)")
	flags.StringVar(&o.method, "method", explain.GradCAM, "gradcam or occlusion")
	flags.StringVar(&o.layer, "layer", "", "of gradcam: layer to look at (default the last convolution before it is pooled; earlier layers are finer)")
	flags.IntSliceVar(&o.box, "box", nil, "of occlusion: voxels of the grid that are covered, one number or one for each axis, as 4,8,8 (default about 1/8 of each axis)")
	flags.IntSliceVar(&o.stride, "stride", nil, "of occlusion: voxels between boxes (default half a box)")
	flags.StringVar(&o.fill, "fill", explain.FillMean, "of occlusion: what covers: mean, of what is not background, or background")
	flags.BoolVar(&o.sanity, "sanity", false, "compare with the maps of networks with random weights")
	flags.StringVar(&o.weights, "weights", train.LastWeights, "last, best or averaged")
	flags.StringVar(&o.out, "out", "", "folder to write to (default RUN-explain)")
	flags.BoolVar(&asJSON, "json", false, "print as JSON")
	flags.BoolVar(&o.quiet, "quiet", false, "show no progress")
	flags.IntVar(&o.threads, "threads", 0, "threads to use; the result does not depend on it (default all)")
	return c
}

type explainOptions struct {
	masks, also, covariates, subjects                []string
	cohort, class, method, layer, fill, weights, out string
	box, stride                                      []int
	sanity, quiet                                    bool
	threads                                          int
}

// randomNetworks is how many networks of random weights --sanity compares with.
const randomNetworks = 5

// check refuses what makes no sense before anything is read.
func (o *explainOptions) check(args []string) error {
	known := []string{train.LastWeights, train.BestWeights, train.AveragedWeights}
	switch {
	case !slices.Contains(known, o.weights):
		return fmt.Errorf("%w: --weights is %q; it can be %s", errUsage, o.weights, strings.Join(known, ", "))
	case o.method != explain.GradCAM && o.method != explain.Occlusion:
		return fmt.Errorf("%w: --method is %q; it can be %s or %s", errUsage, o.method, explain.GradCAM, explain.Occlusion)
	case o.method == explain.GradCAM && (len(o.box) > 0 || len(o.stride) > 0):
		return fmt.Errorf("%w: --box and --stride are of --method occlusion", errUsage)
	case o.method == explain.Occlusion && o.layer != "":
		return fmt.Errorf("%w: --layer is of --method gradcam", errUsage)
	case (o.cohort != "") != (len(o.subjects) > 0):
		return fmt.Errorf("%w: --cohort and --subject go together: the cohort holds the images, the subject is whose", errUsage)
	case o.cohort != "" && len(args) > 1:
		return fmt.Errorf("%w: images are given by name or by --cohort and --subject, not both", errUsage)
	case o.cohort != "" && len(o.masks)+len(o.also)+len(o.covariates) > 0:
		return fmt.Errorf("%w: with --cohort the masks, sequences and covariates come from the cohort", errUsage)
	}
	return nil
}

// An explainer makes the maps of one command.
type explainer struct {
	explainOptions
	run       string
	predictor *train.Predictor
	subjects  []cohort.Subject
	stderr    io.Writer
}

// open loads the run and finds the images.
func (o *explainOptions) open(args []string, stderr io.Writer) (*explainer, error) {
	e := &explainer{explainOptions: *o, run: args[0], stderr: stderr}
	e.out = cmp.Or(o.out, cohortName(e.run)+"-explain")
	var err error
	if e.predictor, err = train.NewPredictor(e.run, o.weights, o.threads); err != nil {
		return nil, fmt.Errorf("%w: %w", errInput, err)
	}
	if o.cohort != "" {
		err = e.fromCohort()
	} else {
		err = e.fromFiles(args[1:])
	}
	if err == nil && o.class != "" && !slices.Contains(e.predictor.Classes, o.class) {
		err = fmt.Errorf("%w: --class is %q; the run's classes are %s", errUsage, o.class, strings.Join(e.predictor.Classes, ", "))
	}
	for _, numbers := range [][]int{o.box, o.stride} {
		if fits := e.fits(numbers); err == nil && !fits {
			err = fmt.Errorf("%w: --box and --stride take one number or one for each of %d axes, each at least 1", errUsage, e.predictor.Config.Dims)
		}
	}
	if err == nil {
		err = e.checkOut()
	}
	if err != nil {
		e.predictor.Close()
		return nil, err
	}
	return e, nil
}

// fromFiles makes each image a subject of its own.
func (e *explainer) fromFiles(paths []string) error {
	needed := e.predictor.Config.NeedsMask()
	if n := len(e.masks); !needed && n > 0 && n != len(paths) {
		return fmt.Errorf("%w: give one --mask per image or none (%d images, %d masks)", errUsage, len(paths), n)
	}
	images, err := pairMasks(paths, e.masks, needed || len(e.masks) > 0)
	if err == nil {
		err = addSequences(images, e.also, e.predictor.Config.Channels, e.predictor.Volume)
	}
	if err != nil {
		return err
	}
	if len(e.explainOptions.covariates) > 0 && len(images) > 1 {
		return fmt.Errorf("%w: --covariate is of one subject, and each of %d images is a subject of its own; explain them one by one", errUsage, len(images))
	}
	values, notes, err := parseCovariates(e.covariates, e.predictor.Covariates, len(images))
	if err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintln(e.stderr, "note: "+note)
	}
	for i, image := range images {
		e.subjects = append(e.subjects, cohort.Subject{ID: image.Path, Images: images[i : i+1], Covariates: values})
	}
	return nil
}

// fromCohort takes the subjects from a cohort, read by the run's plan.
func (e *explainer) fromCohort() error {
	_, plan, _, err := train.OpenForReplay(e.run)
	if err != nil {
		return fmt.Errorf("%w: %w", errInput, err)
	}
	all, err := cohort.Open(e.cohort, cohort.Options(plan.Data))
	if err != nil {
		return err
	}
	for _, id := range e.explainOptions.subjects {
		at := slices.IndexFunc(all.Subjects, func(s cohort.Subject) bool { return s.ID == id })
		if at < 0 {
			return fmt.Errorf("%w: %s has no subject %q; the first is %q", errUsage, e.cohort, id, all.Subjects[0].ID)
		}
		e.subjects = append(e.subjects, all.Subjects[at])
	}
	return nil
}

// checkOut refuses a place that cannot be written to before the work begins.
func (e *explainer) checkOut() error {
	info, err := os.Stat(e.out)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("write %s: it is a file; name a folder with --out", e.out)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("write %s: %w", e.out, withoutPath(err))
	}
	return nil
}

// explain makes the maps of all subjects and writes them.
func (e *explainer) explain(ctx context.Context) (*explanations, error) {
	result := &explanations{
		Run: e.run, Weights: e.weights, Classes: e.predictor.Classes, Method: e.method, Maps: []*explainedImage{}, Caution: caution,
	}
	names := map[string]int{}
	for _, subject := range e.subjects {
		covariates, err := e.predictor.Covariates.Encode(subject.Covariates)
		if err != nil {
			return nil, err
		}
		model := explain.Model{Net: e.predictor.Network(), Config: e.predictor.Config}
		made, err := explain.Explain(ctx, model, explain.Subject{Images: subject.Images, Covariates: covariates}, e.options(subject))
		if errors.Is(err, explain.ErrOptions) || errors.Is(err, net.ErrLayer) {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		if err != nil {
			return nil, err
		}
		result.Layer = made.Layer
		if err := os.MkdirAll(e.out, 0o755); err != nil {
			return nil, fmt.Errorf("write %s: %w", e.out, withoutPath(err))
		}
		for i := range made.Maps {
			image := e.describe(subject, i, made)
			if err := e.write(image, made, i, names); err != nil {
				return nil, err
			}
			result.Maps = append(result.Maps, image)
		}
	}
	return result, nil
}

// options are those of one subject, with its progress.
func (e *explainer) options(subject cohort.Subject) explain.Options {
	o := explain.Options{
		Method: e.method, Layer: e.layer, Fill: e.fill, Box: e.perAxis(e.box), Stride: e.perAxis(e.stride),
		Class: explain.Predicted,
	}
	if e.class != "" {
		o.Class = slices.Index(e.predictor.Classes, e.class)
	}
	if e.sanity {
		o.Random = randomNetworks
	}
	if e.method == explain.Occlusion {
		o.Progress = e.progress(subject)
	}
	return o
}

// fits tells whether there are no numbers, one, or one for each axis.
func (e *explainer) fits(numbers []int) bool {
	count := len(numbers)
	return (count <= 1 || count == e.predictor.Config.Dims) && !slices.ContainsFunc(numbers, func(n int) bool { return n < 1 })
}

// perAxis gives one number to all axes; along the depth of a slice it is 1.
func (e *explainer) perAxis(numbers []int) (list [3]int) {
	if len(numbers) == 0 {
		return list
	}
	first := 3 - e.predictor.Config.Dims
	list[0] = 1
	for axis := first; axis < 3; axis++ {
		list[axis] = numbers[0]
		if len(numbers) > 1 {
			list[axis] = numbers[axis-first]
		}
	}
	return list
}

// progress says how many passes there are and, after the first batch, how long
// they take.
func (e *explainer) progress(subject cohort.Subject) func(done, of int) {
	tracker := newTracker(e.stderr, subject.ID, e.quiet)
	tracks := 0
	return func(done, of int) {
		share := float64(done) / float64(of)
		switch tracks++; {
		case tracks == 1:
			tracker.say(0, subject.ID, fmt.Sprintf("%s: %d passes through the network", subject.ID, of))
		case tracks == 2 && done < of:
			tracker.say(share, subject.ID, fmt.Sprintf("%s: %d passes done", subject.ID, done))
		default:
			tracker.to(share)
		}
		if done == of {
			tracker.done()
		}
	}
}

// describe tells of one image of a subject.
func (e *explainer) describe(subject cohort.Subject, i int, made *explain.Explanation) *explainedImage {
	m := made.Maps[i]
	image := &explainedImage{
		Subject: subject.ID, File: subject.Images[i].Path, Class: e.predictor.Classes[made.Class], Probability: made.Probabilities[made.Class],
		Probabilities: made.Probabilities, Slices: m.Slices, Passes: made.Passes, Sanity: sanityOf(made.Sanity),
		pixels: isPicture(m.Image),
	}
	image.Peak, image.Trough = placeOf(m.Peak), placeOf(m.Trough)
	if m.Inside != nil {
		image.Inside = &explainedInside{Mass: numberOf(m.Inside.Mass), Field: m.Inside.Field, Peak: m.Inside.Peak, Trough: m.Inside.Trough}
	}
	return image
}

func placeOf(p *explain.Peak) *explainedPeak {
	if p == nil {
		return nil
	}
	return &explainedPeak{Voxel: p.Voxel, World: p.World, Value: p.Value}
}

// numberOf is nil for NaN, which JSON cannot hold.
func numberOf(x float64) *float64 {
	if math.IsNaN(x) {
		return nil
	}
	return &x
}

// isPicture tells a volume of a file without anatomy by the affine that
// cohort.Volume documents for it.
func isPicture(v *cohort.Volume) bool {
	return v.Shape[2] == 1 && v.Affine == [3][4]float64{{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, 1, 0}}
}

// write writes the overlay and the picture of one image.
func (e *explainer) write(image *explainedImage, made *explain.Explanation, i int, names map[string]int) error {
	name := imageName(image.File)
	names[name]++
	if n := names[name]; n > 1 { // another image of that name, of another folder
		name = fmt.Sprintf("%s-%d", name, n)
	}
	stem := filepath.Join(e.out, name+"_"+e.method)
	image.Overlay, image.Picture = stem+".nii.gz", stem+".png"
	if err := cohort.WriteNIfTI(image.Overlay, made.Maps[i].Volume, "float32"); err != nil {
		return err
	}
	return writePicture(image, made.Maps[i], e.units())
}

// units are those of the map's values.
func (e *explainer) units() string {
	if e.method == explain.Occlusion {
		return "drop of log-odds"
	}
	return "Grad-CAM"
}

// imageName is the name of an image without its folder and endings.
func imageName(path string) string {
	name := filepath.Base(filepath.Clean(path))
	name = strings.NewReplacer("#", "_").Replace(name)
	for _, ending := range []string{".gz", ".nii", ".hdr", ".img", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm"} {
		if strings.HasSuffix(strings.ToLower(name), ending) && len(name) > len(ending) {
			name = name[:len(name)-len(ending)]
		}
	}
	return name
}

// caution stands under every explanation.
const caution = "A map shows where the network looks, not why; it is no evidence of a biological cause."

// explanations are the results of the command.
type explanations struct {
	Run     string            `json:"run"`
	Weights string            `json:"weights"`
	Classes []string          `json:"classes"`
	Method  string            `json:"method"`
	Layer   string            `json:"layer,omitempty"` // of gradcam
	Maps    []*explainedImage `json:"maps"`
	Caution string            `json:"caution"`
}

type explainedImage struct {
	Subject       string           `json:"subject"`
	File          string           `json:"file"`
	Class         string           `json:"class"`
	Probability   float64          `json:"probability"`
	Probabilities []float64        `json:"probabilities"`
	Slices        int              `json:"slices"`
	Passes        int              `json:"passes"`
	Peak          *explainedPeak   `json:"peak"`   // null: no voxel speaks for the class
	Trough        *explainedPeak   `json:"trough"` // the lowest value; null: no voxel is below zero
	Inside        *explainedInside `json:"inside"` // null without a mask
	Sanity        *explainedSanity `json:"sanity,omitempty"`
	Overlay       string           `json:"overlay"`
	Picture       string           `json:"picture"`

	pixels bool // a file without anatomy: PNG, JPEG, TIFF or BMP
}

type explainedPeak struct {
	Voxel [3]int     `json:"voxel"`    // i, j, k
	World [3]float64 `json:"world_mm"` // RAS+
	Value float64    `json:"value"`
}

// place says where the peak lies.
func (p *explainedPeak) place(pixels bool) string {
	if pixels {
		return fmt.Sprintf("%.3g at pixel %d %d (column, row)", p.Value, p.Voxel[0], p.Voxel[1])
	}
	return fmt.Sprintf("%.3g at %.1f %.1f %.1f mm (RAS), voxel %d %d %d", p.Value, p.World[0], p.World[1], p.World[2], p.Voxel[0], p.Voxel[1], p.Voxel[2])
}

type explainedInside struct {
	Mass   *float64 `json:"mass_share"`  // of the positive mass that lies in the mask; null: there is none
	Field  float64  `json:"field_share"` // of the field of view that the mask fills
	Peak   bool     `json:"peak"`        // whether the peak lies in the mask
	Trough bool     `json:"trough"`      // whether the lowest value does
}

type explainedSanity struct {
	Correlations []*float64 `json:"correlations"` // null where a random network's map is the same everywhere
	Median       *float64   `json:"median"`
	Hardly       bool       `json:"hardly_depends_on_weights"`
}

func sanityOf(s *explain.Sanity) *explainedSanity {
	if s == nil {
		return nil
	}
	sanity := &explainedSanity{Median: numberOf(s.Median), Hardly: s.Hardly()}
	for _, r := range s.Correlations {
		sanity.Correlations = append(sanity.Correlations, numberOf(r))
	}
	return sanity
}

// print writes a few lines per image.
func (e *explanations) print(w io.Writer) error {
	var text strings.Builder
	for _, image := range e.Maps {
		image.describe(&text, e)
	}
	text.WriteString(e.Caution + "\n")
	_, err := io.WriteString(w, text.String())
	return err
}

func (m *explainedImage) describe(text *strings.Builder, e *explanations) {
	what := "occlusion"
	if e.Layer != "" {
		what = "Grad-CAM of " + e.Layer
	}
	fmt.Fprintf(text, "%s: %s, class %s, probability %.3f\n", m.File, what, m.Class, m.Probability)
	if m.Peak == nil {
		fmt.Fprintf(text, "  nothing in the image speaks for the class: no voxel of the map is above zero\n")
	} else {
		fmt.Fprintf(text, "  peak %s\n", m.Peak.place(m.pixels))
	}
	if m.Trough != nil {
		fmt.Fprintf(text, "  lowest %s\n", m.Trough.place(m.pixels))
	}
	m.describeInside(text)
	m.Sanity.describe(text)
	fmt.Fprintf(text, "  %s\n  %s\n", m.Overlay, m.Picture)
}

// describeInside says how the map lies to the mask.
func (m *explainedImage) describeInside(text *strings.Builder) {
	if m.Inside == nil {
		return
	}
	where := func(p *explainedPeak, inside bool, name string) string {
		switch {
		case p == nil:
			return ""
		case inside:
			return "; the " + name + " lies inside"
		}
		return "; the " + name + " lies outside"
	}
	mass := 0.0
	if m.Inside.Mass != nil {
		mass = *m.Inside.Mass
	}
	fmt.Fprintf(text, "  %.0f %% of the positive mass lies in the mask, which fills %.1f %% of the field of view%s%s\n", 100*mass, 100*m.Inside.Field,
		where(m.Peak, m.Inside.Peak, "peak"), where(m.Trough, m.Inside.Trough, "lowest value"))
}

func (s *explainedSanity) describe(text *strings.Builder) {
	if s == nil {
		return
	}
	if s.Median == nil {
		fmt.Fprintf(text, "  random weights: no rank correlation, one of the maps is the same everywhere\n")
		return
	}
	var words []string
	for _, r := range s.Correlations {
		if r != nil {
			words = append(words, fmt.Sprintf("%.2f", *r))
		} else {
			words = append(words, "none")
		}
	}
	fmt.Fprintf(text, "  random weights: rank correlation %.2f, the median of %d networks (%s)\n", *s.Median, len(words), strings.Join(words, ", "))
	if s.Hardly {
		fmt.Fprintf(text, "  warning: the map hardly depends on the weights; it shows the image, not what the network has learnt\n")
	}
}
