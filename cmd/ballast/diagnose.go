package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

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
			report, err := untilCancelled(c.Context(), func() (*diagnosis.Report, error) { return diagnosis.Diagnose(r) })
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
				return printJSON(c.OutOrStdout(), report)
			}
			return report.Text(c.OutOrStdout(), textWidth(c.OutOrStdout()), colourful(c.OutOrStdout()))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the diagnosis as JSON")
	c.Flags().StringVar(&html, "html", "", "also write a one-file report with figures")
	return c
}

// writeReport writes the HTML report under a temporary name and renames it. What
// is there and not a plain file, such as /dev/stdout, is written to and never
// replaced.
func writeReport(path string, r *run.Run, report *diagnosis.Report) error {
	var page bytes.Buffer
	err := web.Report(&page, r, report)
	if err == nil {
		err = writePage(path, page.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, withoutPath(err))
	}
	return nil
}

func writePage(path string, page []byte) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return errors.New("it is a folder; name a file in it")
	} else if err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(path, page, 0o644)
	} else if err == nil && !isPage(path) {
		return errors.New("a file that is no HTML page is there; choose another name or remove it")
	}
	temporary, err := writeBeside(path, page)
	if err != nil {
		return err
	}
	if err = os.Rename(temporary, path); err != nil {
		_ = os.Remove(temporary)
	}
	return err
}

// isPage tells whether a file is an HTML page or empty: an old report may be
// replaced, a record or a table may not.
func isPage(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	start := make([]byte, len("<!doctype html"))
	n, err := io.ReadFull(file, start)
	return n == 0 && err == io.EOF || strings.EqualFold(string(start[:n]), "<!doctype html")
}

// withoutPath returns what went wrong without the operation and the name of the
// file, which the caller says, and which may be that of a temporary file.
func withoutPath(err error) error {
	var ofFile *os.PathError
	if errors.As(err, &ofFile) {
		return ofFile.Err
	}
	var ofLink *os.LinkError
	if errors.As(err, &ofLink) {
		return ofLink.Err
	}
	return err
}
