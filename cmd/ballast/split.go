package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ballast/cohort"
)

func splitCommand() *cobra.Command {
	var f planFlags
	var monai, table string
	var folds int
	var asJSON, quiet bool
	c := &cobra.Command{
		Use:   "split COHORT",
		Short: "Show which subjects train and validate, and write it for other tools",
		Long: "Split divides a cohort by subject exactly as train would, prints how classes and sites fall\n" +
			"into the sets, and writes the sets as a MONAI datalist or as a table that any tool reads.\n" +
			"Subjects, not images, are divided, each class in proportion; --set split.stratify=[label,site]\n" +
			"keeps sites in proportion too, --set split.leave_out=SITE makes one site the test set.",
		Example: "  ballast split COHORT\n" +
			"  ballast split COHORT --seed 3 --set split.test=0.2 --monai split.json\n" +
			"  ballast split COHORT --set split.stratify=[label,site] --table split.tsv\n" +
			"  ballast split COHORT --folds 5 --monai folds.json",
		Args: exactly(1, "one cohort (a folder or a table)"),
		RunE: func(c *cobra.Command, args []string) error {
			plan, err := f.plan(c)
			if err != nil {
				return err
			}
			if c.Flags().Changed("folds") && (folds < 2 || folds > 1000) {
				return fmt.Errorf("%w: --folds is %d; it must lie between 2 and 1000", errUsage, folds)
			}
			for _, file := range []struct{ flag, name string }{{"monai", monai}, {"table", table}} {
				if err := checkNewFile(c, file.flag, file.name); err != nil {
					return err
				}
			}
			job := trainJob{cohort: args[0], plan: plan, quiet: quiet, stderr: c.ErrOrStderr()}
			result, err := job.split(folds)
			if err != nil {
				return err
			}
			if err := result.write(monai, table); err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), result.summary())
			}
			return result.print(c.OutOrStdout(), monai, table)
		},
	}
	f.addData(c)
	c.Flags().StringVar(&monai, "monai", "", "write a MONAI datalist to this new file (.json)")
	c.Flags().StringVar(&table, "table", "", "write a table to this new file (.tsv or .csv)")
	c.Flags().IntVar(&folds, "folds", 0, "divide into so many folds for cross-validation instead of into sets")
	c.Flags().BoolVar(&asJSON, "json", false, "print the sets as JSON")
	c.Flags().BoolVar(&quiet, "quiet", false, "show no notes")
	return c
}

// checkNewFile refuses a name that cannot become a file of the kind, before any
// work: nothing that exists is replaced, since it may be the cohort's own table.
func checkNewFile(c *cobra.Command, flag, name string) error {
	if !c.Flags().Changed(flag) {
		return nil
	}
	endings := map[string][]string{"monai": {".json"}, "table": {".tsv", ".csv"}}[flag]
	if !slices.Contains(endings, strings.ToLower(filepath.Ext(name))) {
		return fmt.Errorf("%w: --%s %q: name a file that ends in %s", errUsage, flag, name, strings.Join(endings, " or "))
	}
	if _, err := os.Lstat(name); err == nil {
		return fmt.Errorf("write %s: it exists; choose another name or remove it", name)
	}
	return nil
}

// A splitResult is a cohort with the set or fold of each subject.
type splitResult struct {
	cohort   *cohort.Cohort
	assigned []cohort.Assignment
	folds    int // 0 for sets
}

// split opens and divides the cohort of a job.
func (j *trainJob) split(folds int) (*splitResult, error) {
	c, err := cohort.Open(j.cohort, cohort.Options(j.plan.Data))
	if err != nil {
		return nil, err
	}
	j.tell(c.Notes, "note: ")
	j.tell(c.Excluded, "left out: ")
	if folds > 0 {
		all, err := c.Folds(j.plan.Seed, folds, j.plan.Split.Stratify...)
		if err != nil {
			return nil, err
		}
		return &splitResult{c, c.AssignFolds(all), folds}, nil
	}
	s, err := c.SplitBy(j.plan.Seed, j.plan.Split.Options())
	if err != nil {
		return nil, err
	}
	return &splitResult{c, c.Assign(s), 0}, nil
}

// write writes the files that were asked for.
func (r *splitResult) write(monai, table string) error {
	if monai != "" {
		if err := writeNew(monai, func(w io.Writer) error { return r.cohort.WriteDatalist(w, filepath.Dir(monai), r.assigned) }); err != nil {
			return fmt.Errorf("write %s: %w", monai, err)
		}
	}
	if table != "" {
		tabs := strings.EqualFold(filepath.Ext(table), ".tsv")
		if err := writeNew(table, func(w io.Writer) error { return r.cohort.WriteTable(w, filepath.Dir(table), r.assigned, tabs) }); err != nil {
			return fmt.Errorf("write %s: %w", table, err)
		}
	}
	return nil
}

// writeNew makes a file whole or not at all, and replaces none.
func writeNew(name string, content func(io.Writer) error) error {
	var text bytes.Buffer
	if err := content(&text); err != nil {
		return err
	}
	temporary, err := writeBeside(name, text.Bytes())
	if err != nil {
		return withoutPath(err)
	}
	defer os.Remove(temporary)
	if _, err := os.Lstat(name); err == nil {
		return errors.New("it exists; choose another name or remove it")
	}
	if err := os.Rename(temporary, name); err != nil {
		return withoutPath(err)
	}
	return nil
}

// part is the set or fold of a subject, in words.
func (r *splitResult) part(n int) string {
	a := r.assigned[n]
	if r.folds > 0 && a.Fold != "" {
		return "fold " + a.Fold
	}
	return a.Set
}

// parts lists the sets or folds in order.
func (r *splitResult) parts() []string {
	parts := []string{"train", "validation"}
	if r.folds > 0 {
		parts = nil
		for k := range r.folds {
			parts = append(parts, fmt.Sprintf("fold %d", k))
		}
	}
	for n := range r.assigned {
		if r.part(n) == "test" {
			return append(parts, "test")
		}
	}
	return parts
}

// A splitPart is one set or fold: its subjects, and how many there are of each
// class and each site.
type splitPart struct {
	Name     string         `json:"name"`
	Subjects []string       `json:"subjects"`
	Images   int            `json:"images"`
	Classes  map[string]int `json:"classes"`
	Sites    map[string]int `json:"sites,omitempty"`
}

type splitSummary struct {
	Format    int         `json:"format"`
	Classes   []string    `json:"classes"`
	Sequences []string    `json:"sequences,omitempty"`
	Parts     []splitPart `json:"sets"`
}

func (r *splitResult) summary() splitSummary {
	summary := splitSummary{Format: 1, Classes: r.cohort.Classes, Sequences: r.cohort.Sequences}
	for _, name := range r.parts() {
		part := splitPart{Name: name, Subjects: []string{}, Classes: map[string]int{}, Sites: map[string]int{}}
		for n, s := range r.cohort.Subjects {
			if r.part(n) != name {
				continue
			}
			part.Subjects = append(part.Subjects, s.ID)
			part.Images += len(s.Images)
			part.Classes[r.cohort.Classes[s.Class]]++
			if s.Site != "" {
				part.Sites[s.Site]++
			}
		}
		summary.Parts = append(summary.Parts, part)
	}
	return summary
}

// mostSites is how many columns of sites fit on a screen.
const mostSites = 8

// print shows the sets beside their classes and sites, and what to do next.
func (r *splitResult) print(w io.Writer, monai, table string) error {
	summary := r.summary()
	var sites []string
	for _, part := range summary.Parts {
		for site := range part.Sites {
			sites = append(sites, site)
		}
	}
	slices.Sort(sites)
	sites = slices.Compact(sites)
	text := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	heading := append([]string{"", "subjects", "images"}, summary.Classes...)
	shown := sites[:min(len(sites), mostSites)]
	for _, site := range shown {
		if !strings.HasPrefix(strings.ToLower(site), "site") {
			site = "site " + site
		}
		heading = append(heading, site)
	}
	fmt.Fprintln(text, strings.Join(heading, "\t")+"\t")
	for _, part := range summary.Parts {
		fmt.Fprintf(text, "%s\t%d\t%d\t", part.Name, len(part.Subjects), part.Images)
		for _, class := range summary.Classes {
			fmt.Fprintf(text, "%d\t", part.Classes[class])
		}
		for _, site := range shown {
			fmt.Fprintf(text, "%d\t", part.Sites[site])
		}
		fmt.Fprintln(text)
	}
	err := text.Flush()
	if len(sites) > len(shown) {
		fmt.Fprintf(w, "(and %d more sites; --json lists all)\n", len(sites)-len(shown))
	}
	if table != "" {
		next := "ballast train " + quoted(table)
		if len(summary.Sequences) > 1 {
			next += " --path " + quoted(strings.Join(summary.Sequences, ","))
		}
		if r.folds > 0 {
			next += " --set split.fold=0"
		}
		_, err = fmt.Fprintf(w, "Written: %s\nNext: %s\n", table, next)
	}
	if monai != "" {
		_, err = fmt.Fprintf(w, "Written: %s\nNext: monai.data.load_decathlon_datalist(%q, is_segmentation=False, data_list_key=\"training\")\n", monai, monai)
	}
	return err
}
