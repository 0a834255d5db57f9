package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ballast/train"
	"ballast/web"
)

func lrRangeCommand() *cobra.Command {
	var f planFlags
	var page string
	var steps, threads int
	var asJSON, quiet, noCache bool
	c := &cobra.Command{
		Use:   "lr-range COHORT",
		Short: "Find a learning rate: the range test, with its figure",
		Long: "Lr-range trains on the cohort for some hundred steps, each at a larger learning rate than the\n" +
			"one before, from 1e-6 to 10, and shows where the training loss falls and where it rises. It\n" +
			"suggests a tenth of the rate at which the smoothed loss is least, or says that the curve is\n" +
			"too flat or too noisy to tell. The plan's own rate and schedule play no part. Nothing is recorded.",
		Example: "  ballast lr-range COHORT\n" +
			"  ballast lr-range COHORT --plan plan.yaml --html range.html\n" +
			"  ballast lr-range COHORT --net resnet10 --set optimizer.name=sgd --steps 200 --json",
		Args: exactly(1, "one cohort (a folder or a table); the plan is given as --plan"),
		RunE: func(c *cobra.Command, args []string) error {
			if extension := strings.ToLower(filepath.Ext(args[0])); slices.Contains([]string{".yaml", ".yml"}, extension) {
				return fmt.Errorf("%w: %s looks like a plan; name the cohort, and the plan as --plan %s", errUsage, args[0], quoted(args[0]))
			}
			if c.Flags().Changed("steps") && (steps < train.MinRangeSteps || steps > train.MaxRangeSteps) {
				return fmt.Errorf("%w: --steps is %d; it must lie between %d and %d", errUsage, steps, train.MinRangeSteps, train.MaxRangeSteps)
			}
			plan, err := f.plan(c)
			if err != nil {
				return err
			}
			job := trainJob{cohort: args[0], plan: plan, threads: threads, quiet: quiet, stderr: c.ErrOrStderr()}
			if job.cache, err = cacheUnless(noCache); err != nil {
				return err
			}
			test, err := job.rangeTest(c.Context(), steps)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(c.OutOrStdout(), &test)
			} else {
				err = printRange(c.OutOrStdout(), &test)
			}
			if page == "" {
				return err
			}
			if err := errors.Join(err, writeRange(page, args[0], &test)); err != nil {
				return err
			}
			job.tell([]string{"wrote " + page}, "")
			return nil
		},
	}
	f.addData(c)
	c.Flags().StringVar(&f.net, "net", "", "network, as of ballast train (default cnn4)")
	c.Flags().IntVar(&steps, "steps", 0, "rates to try (default two epochs, at least 200 and at most 400)")
	c.Flags().IntVar(&threads, "threads", 0, "threads to use; the result does not depend on it (default all)")
	c.Flags().StringVar(&page, "html", "", "also write a one-file page with the figure")
	c.Flags().BoolVar(&asJSON, "json", false, "print every step as JSON")
	c.Flags().BoolVar(&quiet, "quiet", false, "show no progress")
	addNoCache(c, &noCache)
	return c
}

// rangeTest reads the cohort as a training does and makes the test.
func (j *trainJob) rangeTest(ctx context.Context, steps int) (train.RangeTest, error) {
	c, split, err := j.prepare(ctx)
	if err != nil {
		return train.RangeTest{}, err
	}
	images, err := j.load(ctx, c, split)
	if err != nil {
		return train.RangeTest{}, err
	}
	j.tell(images.Notes, "note: ")
	bar := newTracker(j.stderr, "raising the rate", j.quiet)
	defer bar.done()
	return train.RunRangeTest(ctx, j.plan, images, steps, train.Options{
		Threads: j.threads, Progress: func(p train.Progress) { bar.to(p.Share) },
	})
}

func writeRange(path, cohort string, test *train.RangeTest) error {
	var page bytes.Buffer
	err := web.LearningRateRange(&page, cohort, test)
	if err == nil {
		err = writePage(path, page.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, withoutPath(err))
	}
	return nil
}

// printRange draws the smoothed loss with letters and says what it suggests.
func printRange(w io.Writer, test *train.RangeTest) error {
	var text strings.Builder
	if len(test.Points) > 0 {
		drawRange(&text, test, textWidth(w))
	}
	if test.Doubt != "" {
		fmt.Fprintf(&text, "No suggestion: %s.\n", test.Doubt)
	} else {
		fmt.Fprintf(&text, "The smoothed training loss falls fastest at %s and is least at %s (L).\n", web.RateText(test.Steepest), web.RateText(test.Least))
		fmt.Fprintf(&text, "Suggested: a tenth of the latter (S), --set optimizer.lr=%s\n", web.RateText(test.Suggested))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// drawRange plots the smoothed loss (*) over the logarithm of the rate. S and L
// below the axis are the suggested rate and that of the least loss.
func drawRange(w *strings.Builder, test *train.RangeTest, width int) {
	const rows, margin = 12, 10
	columns := min(width, 90) - margin - 2
	low, high := math.Inf(1), math.Inf(-1)
	first := math.Log10(train.RangeLow)
	column := func(rate float64) int {
		share := (math.Log10(rate) - first) / (math.Log10(train.RangeHigh) - first)
		return max(0, min(columns-1, int(share*float64(columns-1)+0.5)))
	}
	heights := make([]float64, columns) // the mean smoothed loss of a column
	counts := make([]float64, columns)
	for _, p := range test.Points {
		heights[column(p.Rate)] += p.Smoothed
		counts[column(p.Rate)]++
		low = min(low, p.Smoothed)
	}
	for _, p := range test.Points[:max(1, len(test.Points)/2)] { // the end may be four times as high
		high = max(high, p.Smoothed)
	}
	high += 0.3 * (high - low)
	grid := make([][]byte, rows)
	for r := range grid {
		grid[r] = bytes.Repeat([]byte{' '}, columns)
	}
	for x, count := range counts {
		if count == 0 {
			continue
		}
		share := 0.0
		if high > low {
			share = (heights[x]/count - low) / (high - low)
		}
		if row := rows - 1 - int(share*(rows-1)+0.5); row >= 0 {
			grid[row][x] = '*'
		} else {
			grid[0][x] = '^'
		}
	}
	for r, line := range grid {
		label := ""
		if r == 0 || r == rows/2 || r == rows-1 {
			label = fmt.Sprintf("%.3g", high-(high-low)*float64(r)/(rows-1))
		}
		fmt.Fprintf(w, "%*s |%s\n", margin-2, label, strings.TrimRight(string(line), " "))
	}
	fmt.Fprintf(w, "%*s +%s\n", margin-2, "loss", rangeAxis(columns, column, test))
	fmt.Fprintf(w, "%*s  %s\n", margin-2, "rate", rangeLabels(columns, column))
}

// rangeAxis is the axis with the letters of the rates that were found.
func rangeAxis(columns int, column func(rate float64) int, test *train.RangeTest) string {
	axis := bytes.Repeat([]byte{'-'}, columns)
	if test.Doubt == "" {
		axis[column(test.Least)] = 'L'
		axis[column(test.Suggested)] = 'S'
	}
	return string(axis)
}

// rangeLabels names the powers of ten below their places.
func rangeLabels(columns int, column func(rate float64) int) string {
	line := bytes.Repeat([]byte{' '}, columns+6)
	for exponent := -6; exponent <= 1; exponent++ {
		copy(line[column(math.Pow10(exponent)):], fmt.Sprintf("1e%d", exponent))
	}
	return strings.TrimRight(string(line), " ")
}
