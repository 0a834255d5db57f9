package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"ballast/audit"
	"ballast/train"
)

func initCommand() *cobra.Command {
	var f planFlags
	j := initJob{checkJob: checkJob{}}
	var asJSON bool
	c := &cobra.Command{
		Use:   "init COHORT",
		Short: "Write a plan for a cohort with a comment on every choice",
		Long: "Init checks a cohort as `ballast check` does and writes a plan that suits it: which share\n" +
			"validates, how images are cropped and resampled, batch and network, each with its reason.\n" +
			"What is said with --set or another flag stands. `ballast train COHORT --plan plan.yaml`\n" +
			"takes the plan as it is.",
		Example: "  ballast init COHORT\n" +
			"  ballast init COHORT --out plans/small.yaml --set net.name=cnn3\n" +
			"  ballast init COHORT --force && ballast train COHORT --plan plan.yaml",
		Args: exactly(1, "one cohort (a folder or a table)"),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if j.plan, err = f.plan(c); err != nil {
				return err
			}
			j.stderr = c.ErrOrStderr()
			report, err := j.write(c.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), struct {
					Plan     string          `json:"plan"`
					Choices  []audit.Choice  `json:"choices"`
					Findings []audit.Finding `json:"findings"`
				}{j.out, report.Proposal, report.Findings})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: a plan for %s%s\nNext: ballast train %s --plan %s\n",
				j.out, report.Print.Headline(), worries(report), quoted(args[0]), quoted(j.out))
			return err
		},
	}
	f.addData(c)
	j.add(c)
	c.Flags().StringVar(&j.out, "out", "plan.yaml", "file to write")
	c.Flags().BoolVar(&j.force, "force", false, "replace the file if it is there")
	c.Flags().BoolVar(&asJSON, "json", false, "print what was chosen as JSON")
	return c
}

// worries points at what check found.
func worries(report *audit.Report) string {
	if report.Worst() < audit.Warning {
		return ""
	}
	return "\n" + report.Counts() + "; ballast check shows them"
}

// An initJob is one plan to be written.
type initJob struct {
	checkJob
	out   string
	force bool
}

// write checks the cohort, fills the plan and writes it. Nothing is written
// unless train accepts the plan.
func (j *initJob) write(ctx context.Context, cohortPath string) (*audit.Report, error) {
	if err := j.vacant(); err != nil {
		return nil, fmt.Errorf("write plan %s: %w", j.out, err)
	}
	report, err := j.check(ctx, cohortPath)
	if err != nil {
		return nil, err
	}
	reasons, err := j.propose(report.Proposal)
	if err != nil {
		return nil, err
	}
	job := trainJob{cohort: cohortPath, plan: j.plan, threads: j.threads, quiet: true, stderr: j.stderr}
	if _, _, err := job.prepare(ctx); err != nil {
		return nil, err
	}
	text, err := commented(job.plan, reasons, heading(report))
	if err != nil {
		return nil, fmt.Errorf("write plan %s: %w", j.out, err)
	}
	if err := j.save(text); err != nil {
		return nil, fmt.Errorf("write plan %s: %w", j.out, withoutPath(err))
	}
	return report, nil
}

// vacant refuses a file that is there, unless it may be replaced.
func (j *initJob) vacant() error {
	info, err := os.Lstat(j.out)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return withoutPath(err)
	case info.IsDir():
		return errors.New("it is a folder; name a file in it with --out")
	case !j.force:
		return errors.New("it exists; --force replaces it, --out names another")
	}
	return nil
}

// propose puts the proposed values into the plan where the user left the
// default, and returns the reason for each key.
func (j *initJob) propose(choices []audit.Choice) (map[string]string, error) {
	reasons := map[string]string{}
	defaults := train.DefaultPlan()
	for _, choice := range choices {
		key := choice.Key
		if !hasKey(key) { // advice
			continue
		}
		if !reflect.DeepEqual(valueOf(&j.plan, key), valueOf(&defaults, key)) {
			reasons[key] = "as asked for"
			continue
		}
		if err := j.plan.Set(key, choice.Value); err != nil {
			return nil, err
		}
		reasons[key] = choice.Reason
	}
	return reasons, nil
}

func hasKey(key string) bool {
	for _, known := range train.Keys() {
		if known == key {
			return true
		}
	}
	return false
}

// valueOf is the value of a dotted key of a plan.
func valueOf(plan *train.Plan, key string) any {
	value := reflect.ValueOf(plan).Elem()
	for part := range strings.SplitSeq(key, ".") {
		value = value.Field(fieldOf(value.Type(), part))
	}
	return value.Interface()
}

// fieldOf is the number of the field with a YAML name, which there must be.
func fieldOf(section reflect.Type, name string) int {
	for n := range section.NumField() {
		if tag, _, _ := strings.Cut(section.Field(n).Tag.Get("yaml"), ","); tag == name {
			return n
		}
	}
	panic("ballast: the plan has no key " + name)
}

// heading is the comment at the top of the plan.
func heading(report *audit.Report) string {
	var text strings.Builder
	fmt.Fprintf(&text, "A plan for %s: %s.\n", report.Cohort, report.Print.Headline())
	text.WriteString("Proposed by ballast init; every value may be changed. A comment above a key says why it was\nchosen, one behind it what it means.\n")
	for _, f := range report.Findings {
		if f.Level >= audit.Warning {
			fmt.Fprintf(&text, "\n%s %s: %s\n", f.Level, f.ID, f.Problem)
		}
	}
	for _, sentence := range report.Resolution.Sentences {
		text.WriteString("\n" + sentence)
	}
	for _, choice := range report.Proposal {
		if choice.Key == "folds" {
			fmt.Fprintf(&text, "\nFolds (ballast split --folds %s): %s.", choice.Value, choice.Reason)
		}
	}
	return comment(text.String())
}

// comment wraps each line of a text to the width of a plan.
func comment(text string) string {
	const width = 100
	var lines []string
	for paragraph := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		line := "#"
		for _, word := range strings.Fields(paragraph) {
			if len(line)+1+len(word) > width && line != "#" {
				lines = append(lines, line)
				line = "#"
			}
			line += " " + word
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// commented is the plan as YAML with the reasons above the keys and the meaning
// of the others behind them.
func commented(plan train.Plan, reasons map[string]string, heading string) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(plan.YAML(), &document); err != nil {
		return nil, err
	}
	annotate(document.Content[0], reflect.TypeFor[train.Plan](), "", reasons)
	document.HeadComment = heading
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(&document); err != nil {
		return nil, err
	}
	return text.Bytes(), encoder.Close()
}

func annotate(section *yaml.Node, kind reflect.Type, prefix string, reasons map[string]string) {
	for n := 0; n+1 < len(section.Content); n += 2 {
		key, value := section.Content[n], section.Content[n+1]
		field := kind.Field(fieldOf(kind, key.Value))
		if field.Type.Kind() == reflect.Struct {
			annotate(value, field.Type, prefix+key.Value+".", reasons)
			continue
		}
		if reason := reasons[prefix+key.Value]; reason != "" {
			key.HeadComment = comment(reason)
			continue
		}
		value.LineComment = field.Tag.Get("doc")
	}
}

// save writes the file under a temporary name and renames it.
func (j *initJob) save(text []byte) error {
	temporary, err := writeBeside(j.out, text)
	if err != nil {
		return err
	}
	defer os.Remove(temporary) // unless it was renamed
	if j.force {
		return os.Rename(temporary, j.out)
	}
	err = os.Link(temporary, j.out) // fails when another program was faster
	if errors.Is(err, os.ErrExist) {
		err = errors.New("it exists; --force replaces it, --out names another")
	}
	return err
}
