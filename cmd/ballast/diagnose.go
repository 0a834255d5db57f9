package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ballast/diagnosis"
	"ballast/run"
	"ballast/web"
)

func diagnoseCommand() *cobra.Command {
	var asJSON bool
	var html string
	c := &cobra.Command{
		Use:   "diagnose RUN",
		Short: "Say why the validation curve of a run fluctuates",
		Long: "Diagnose reads the record of a run and nothing else: it measures the jitter of the\n" +
			"validation curve, divides it among its sources, and judges every cause.",
		Example: "  ballast diagnose runs/COHORT-1\n" +
			"  ballast diagnose runs/COHORT-1 --html report.html\n" +
			"  ballast diagnose runs/COHORT-1 --json | jq '.findings[0]'",
		Args: exactly(1, "one run folder"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := run.Open(args[0])
			if err != nil {
				return err
			}
			for _, note := range r.Notes {
				fmt.Fprintln(c.ErrOrStderr(), "note: "+note)
			}
			report, err := diagnosis.Diagnose(r)
			if err != nil {
				return fmt.Errorf("diagnose %s: %w", args[0], err)
			}
			if html != "" {
				if err := writeReport(html, r, report); err != nil {
					return err
				}
				fmt.Fprintln(c.ErrOrStderr(), "wrote "+html)
			}
			if asJSON {
				encoder := json.NewEncoder(c.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(report)
			}
			return report.Text(c.OutOrStdout(), textWidth(c.OutOrStdout()), colourful(c.OutOrStdout()))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the diagnosis as JSON")
	c.Flags().StringVar(&html, "html", "", "also write a one-file report with figures")
	return c
}

// writeReport writes the HTML report under a temporary name and renames it.
func writeReport(path string, r *run.Run, report *diagnosis.Report) error {
	var page bytes.Buffer
	if err := web.Report(&page, r, report); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = file.Write(page.Bytes())
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Chmod(file.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
