package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ballast/phantom"
)

func phantomCommand() *cobra.Command {
	config := phantom.Default()
	var subjects, size int
	var asJSON, quiet bool
	c := &cobra.Command{
		Use:   "phantom DIR",
		Short: "Write a synthetic MRI cohort whose truth is known",
		Long: "Phantom writes tumour-bearing volumes (NIfTI), masks, participants.tsv and phantom.json\n" +
			"(the truth, and the best accuracy any method can reach). Subject k is the same whatever\n" +
			"the number of subjects.",
		Example: "  ballast phantom cohort --subjects 60 --seed 1\n" +
			"  ballast phantom null --subjects 200 --signal none --size 24\n" +
			"  ballast phantom faulty --copies 3 --copy shifted --sites 2 --site-shortcut 1   # for ballast check",
		Args: exactly(1, "one folder to write"),
		RunE: func(c *cobra.Command, args []string) error {
			if subjects < 1 || subjects > 100_000 {
				return fmt.Errorf("%w: --subjects is %d; it must lie between 1 and 100000", errUsage, subjects)
			}
			config = config.Resized(config.Dims, size)
			if config.Copies == 0 {
				config.Copy = "" // so that phantom.json says nothing of it
			}
			if err := config.Validate(); err != nil {
				return err
			}
			bar := newTracker(c.ErrOrStderr(), "writing subjects", quiet)
			written := bar.counter(subjects)
			err := phantom.Write(c.Context(), args[0], config, subjects, func(int) { written() })
			bar.done()
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(struct {
					Dir      string  `json:"dir"`
					Subjects int     `json:"subjects"`
					Bayes    float64 `json:"bayes_accuracy"`
				}{args[0], subjects, config.BayesAccuracy()})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d subjects, signal %s, best possible accuracy %.1f %%\nNext: ballast train %s\n",
				args[0], subjects, config.Signal, 100*config.BayesAccuracy(), quoted(args[0]))
			return err
		},
	}
	flags := c.Flags()
	flags.IntVar(&subjects, "subjects", 60, "number of subjects")
	flags.Uint64Var(&config.Seed, "seed", 1, "seed of every random number")
	flags.IntVar(&size, "size", 32, "voxels along each side")
	flags.IntVar(&config.Dims, "dims", 3, "3 for volumes, 2 for slices")
	flags.StringVar(&config.Signal, "signal", config.Signal, "what differs in responders: "+strings.Join(phantom.Signals, ", "))
	flags.Float64Var(&config.Effect, "effect", config.Effect, "size of the difference in standard deviations")
	flags.Float64Var(&config.Prevalence, "prevalence", config.Prevalence, "share of responders")
	flags.Float64Var(&config.Noise, "noise", config.Noise, "Rician noise as a share of the tissue's intensity")
	flags.Float64Var(&config.Bias, "bias", config.Bias, "strength of the bias field")
	flags.IntVar(&config.Sites, "sites", config.Sites, "number of scanners")
	flags.Float64Var(&config.LabelNoise, "label-noise", config.LabelNoise, "share of labels flipped")
	flags.Float64Var(&config.SiteShortcut, "site-shortcut", config.SiteShortcut, "how far the label decides the scanner, 0 to 1")
	flags.IntVar(&config.Copies, "copies", 0, "plant a fault: so many subjects get the image of another")
	flags.StringVar(&config.Copy, "copy", phantom.CopyExact, "how these images are changed: "+strings.Join(phantom.Copies, ", "))
	flags.IntVar(&config.Overlap, "overlap", 0, "plant a fault: so many subjects have images in two sets")
	flags.BoolVar(&asJSON, "json", false, "print the result as JSON")
	flags.BoolVar(&quiet, "quiet", false, "show no progress")
	return c
}
