package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ballast/cohort"
	"ballast/evaluation"
	"ballast/run"
	"ballast/stat"
	"ballast/train"
)

func predictCommand() *cobra.Command {
	var masks, also, covariates, others []string
	var weights string
	var pool, temperature, asJSON, noCache bool
	var samples, threads int
	c := &cobra.Command{
		Use:   "predict RUN IMAGE...",
		Short: "Predict the class of new images with a trained run",
		Long: "Predict prepares each image exactly as the run's own images were, and prints the\n" +
			"probability of each class. Each image is a subject of its own unless --pool is given.\n" +
			"A run whose preprocessing needs masks takes one --mask per image, a run of several\n" +
			"sequences the further ones by --also, in the order of the images. A run with clinical\n" +
			"covariates takes those of the subject by --covariate. With --mc or --ensemble predictions are\n" +
			"averaged, and entropy and mutual information (nats) say how sure they are.",
		Example: "  ballast predict runs/COHORT-1 new/sub-01_T1w.nii.gz --mask new/sub-01_mask.nii.gz\n" +
			"  ballast predict runs/SLICES-1 patient7/*.png --pool --json\n" +
			"  ballast predict runs/COHORT-2 sub-01_T1w.nii.gz --also sub-01_FLAIR.nii.gz\n" +
			"  ballast predict runs/COHORT-3 sub-01_T1w.nii.gz --covariate age=63 --covariate sex=f\n" +
			"  ballast predict runs/COHORT-1 sub-01_T1w.nii.gz --mc 50 --ensemble runs/COHORT-2",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 2 {
				return fmt.Errorf("%w: %s needs a run folder and at least one image; %s --help shows an example", errUsage, c.CommandPath(), c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkWeights(weights); err != nil {
				return err
			}
			if err := checkSamples(samples, c.Flags().Changed("mc")); err != nil {
				return err
			}
			if temperature && (samples > 0 || len(others) > 0) {
				return fmt.Errorf("%w: --temperature is fitted on what one network recorded; leave --mc and --ensemble out, or use ballast evaluate", errUsage)
			}
			cache, err := cacheUnless(noCache)
			if err != nil {
				return err
			}
			networks, err := openEnsemble(append([]string{args[0]}, others...), []string{weights}, samples, threads, cache)
			if err != nil {
				return err
			}
			predictor := networks.members[0]
			needed := predictor.Config.NeedsMask()
			if !needed && len(masks) > 0 {
				fmt.Fprintln(c.ErrOrStderr(), "note: the run's preprocessing needs no mask, so --mask is not used")
			}
			images, err := pairMasks(args[1:], masks, needed)
			if err == nil {
				err = addSequences(images, also, predictor.Config.Channels, predictor.Volume)
			}
			groups := subjectsOf(images, pool)
			var values map[string]string
			var notes []string
			if err == nil {
				values, notes, err = parseCovariates(covariates, predictor.Covariates, len(groups))
			}
			scale := 1.0
			if err == nil && temperature {
				scale, err = recordedTemperature(networks)
			}
			if err != nil {
				networks.close()
				return err
			}
			for _, note := range notes {
				fmt.Fprintln(c.ErrOrStderr(), "note: "+note)
			}
			predictions, err := untilCancelled(c.Context(), func() ([]prediction, error) {
				defer networks.close()
				return predictSubjects(networks, groups, values, scale)
			})
			if err != nil {
				return err
			}
			return printPredictions(c.OutOrStdout(), predictor.Classes, predictions, asJSON)
		},
	}
	c.Flags().StringArrayVar(&masks, "mask", nil, "mask of the image, one per image in the same order")
	c.Flags().StringArrayVar(&also, "also", nil, "a further sequence of the image, all those of the first image, then of the second")
	c.Flags().StringArrayVar(&covariates, "covariate", nil, "a clinical value of the subject, as age=63; may be repeated")
	c.Flags().StringVar(&weights, "weights", train.LastWeights, "last, best or averaged")
	c.Flags().IntVar(&samples, "mc", 0, "Monte-Carlo dropout: samples per subject, whose mean is the prediction")
	c.Flags().StringArrayVar(&others, "ensemble", nil, "a further run whose predictions are averaged with RUN's; may be repeated")
	c.Flags().BoolVar(&temperature, "temperature", false, "scale confidence by one temperature fitted on what the run recorded of its validation subjects")
	c.Flags().BoolVar(&pool, "pool", false, "all images are of one subject: print its probabilities, the mean over the images or what attention makes of them")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	addNoCache(c, &noCache)
	c.Flags().IntVar(&threads, "threads", 0, "threads to use; the result does not depend on it (default all)")
	return c
}

func pairMasks(paths, masks []string, needed bool) ([]cohort.Image, error) {
	if needed && len(masks) != len(paths) {
		return nil, fmt.Errorf("%w: the run's preprocessing needs the mask: give one --mask per image (%d images, %d masks)", errUsage, len(paths), len(masks))
	}
	images := make([]cohort.Image, len(paths))
	for i, path := range paths {
		images[i].Path = path
		if needed {
			images[i].Mask = masks[i]
		}
		if needed && masks[i] == path {
			return nil, fmt.Errorf("%w: %s is given as image and as its mask", errUsage, path)
		}
		// A missing file is found before minutes are spent on the others.
		for _, name := range []string{images[i].Path, images[i].Mask} {
			if err := mustExist(name); err != nil && (name != "" || needed) {
				return nil, err
			}
		}
	}
	return images, nil
}

// mustExist returns an error unless there is a file, a folder, or a folder of
// DICOM files with the series behind a "#".
func mustExist(name string) error {
	if _, err := os.Stat(name); err != nil && !cohort.IsDICOMFolder(name) {
		return fmt.Errorf("read %q: %w", name, withoutPath(err))
	}
	return nil
}

// addSequences gives each image its share of the further sequences, and the
// volume that the run uses of 4D files.
func addSequences(images []cohort.Image, also []string, channels, volume int) error {
	each := max(channels, 1) - 1
	if len(also) != each*len(images) {
		return fmt.Errorf("%w: the run sees %d sequences of an image: give %d --also per image (%d images, %d given)", errUsage, each+1, each, len(images), len(also))
	}
	for _, name := range also {
		if err := mustExist(name); err != nil {
			return err
		}
	}
	for i := range images {
		images[i].Also, images[i].Volume = also[i*each:(i+1)*each], volume
	}
	return nil
}

type prediction struct {
	Subject       string   `json:"subject"`
	Class         string   `json:"class"`
	Probabilities run.Row  `json:"probabilities"`
	Images        []string `json:"images"`

	// Of averaged predictions only, in nats.
	Entropy           *run.Float `json:"entropy,omitempty"`
	MutualInformation *run.Float `json:"mutual_information,omitempty"`
}

// recordedTemperature fits a temperature on the validation subjects of a run.
func recordedTemperature(networks *ensemble) (float64, error) {
	p, err := networks.recorded()
	if err != nil {
		return 0, fmt.Errorf("--temperature: %w", err)
	}
	temperature, err := evaluation.FitTemperature(p)
	if err != nil {
		return 0, fmt.Errorf("--temperature: %w", err)
	}
	return temperature, nil
}

// subjectsOf returns the images of each subject.
func subjectsOf(images []cohort.Image, pool bool) [][]cohort.Image {
	if pool {
		return [][]cohort.Image{images}
	}
	return slices.Collect(slices.Chunk(images, 1))
}

func predictSubjects(networks *ensemble, groups [][]cohort.Image, covariates map[string]string, temperature float64) ([]prediction, error) {
	classes := networks.members[0].Classes
	var predictions []prediction
	for _, group := range groups {
		rows, err := networks.rows(cohort.Subject{ID: group[0].Path, Images: group, Covariates: covariates})
		if err != nil {
			return nil, err
		}
		mean := stat.MeanProbabilities(rows)
		if temperature != 1 {
			mean = stat.Cool(mean, temperature)
		}
		p, best := prediction{Subject: group[0].Path}, 0
		for class, probability := range mean {
			p.Probabilities = append(p.Probabilities, float32(probability))
			if probability > mean[best] {
				best = class
			}
		}
		p.Class = classes[best]
		if !networks.single() {
			entropy, information := run.Float(stat.Entropy(mean)), run.Float(stat.MutualInformation(rows))
			p.Entropy, p.MutualInformation = &entropy, &information
		}
		for _, image := range group {
			p.Images = append(p.Images, image.Path)
		}
		predictions = append(predictions, p)
	}
	return predictions, nil
}

// printPredictions writes a table with a column per class, or JSON.
func printPredictions(w io.Writer, classes []string, predictions []prediction, asJSON bool) error {
	if asJSON {
		return printJSON(w, struct {
			Classes  []string     `json:"classes"`
			Subjects []prediction `json:"subjects"`
		}{classes, predictions})
	}
	var table strings.Builder
	fmt.Fprintf(&table, "subject\tclass\t%s", strings.Join(classes, "\t"))
	if len(predictions) > 0 && predictions[0].Entropy != nil {
		table.WriteString("\tentropy\tmutual_information")
	}
	table.WriteByte('\n')
	for _, p := range predictions {
		fmt.Fprintf(&table, "%s\t%s", p.Subject, p.Class)
		for _, probability := range p.Probabilities {
			fmt.Fprintf(&table, "\t%.4f", probability)
		}
		if p.Entropy != nil {
			fmt.Fprintf(&table, "\t%.4f\t%.4f", *p.Entropy, *p.MutualInformation)
		}
		table.WriteByte('\n')
	}
	_, err := io.WriteString(w, table.String())
	return err
}
