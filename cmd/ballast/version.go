package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"ballast/kernel"
	"ballast/run"
	"ballast/train"
)

const version = "0.1.0"

func versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version, the formats and the compute kernels in use",
		Example: "  ballast version --json",
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			facts := struct {
				Version    string `json:"version"`
				RunFormat  int    `json:"run_format"`
				PlanFormat int    `json:"plan_format"`
				Kernels    string `json:"kernels"`
				Go         string `json:"go"`
				Platform   string `json:"platform"`
			}{version, run.Format, train.PlanFormat, kernel.Path(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(facts)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "ballast %s, run format %d, plan format %d, %s kernels, %s %s\n",
				facts.Version, facts.RunFormat, facts.PlanFormat, facts.Kernels, facts.Go, facts.Platform)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}
