// Command recipe compares the recipes plain and steady on phantom cohorts: how
// much the validation curve jitters and how often the finished network is right on
// fresh subjects. It writes the table of docs/training.md.
//
//	go run ./bench/recipe
//
// With --arm, the arms are given on the command line and the table is printed:
//
//	go run ./bench/recipe --arm plain --arm "plain validation.weights=averaged"
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math"
	"strings"

	"ballast/bench/engine"
	"ballast/phantom"
	"ballast/train"
)

// firstFresh is the number of the first fresh subject of a phantom, beyond all
// that are trained or validated on.
const firstFresh = 10_000

const freshSet = "fresh"

// cohortSizes are the training and validation subjects of the cohorts.
var cohortSizes = [][2]int{{30, 10}, {90, 30}}

func main() {
	var arms []string
	flag.Func("arm", "a recipe and further key=value, separated by spaces; may be repeated", func(s string) error {
		arms = append(arms, s)
		return nil
	})
	seeds := flag.Int("seeds", 5, "seeds 1, 2, ...")
	fresh := flag.Int("fresh", 300, "fresh subjects that measure the truth")
	epochs := flag.Int("epochs", 30, "epochs of each run")
	flag.Parse()
	write := len(arms) == 0
	if write {
		arms = []string{"plain", "plain validation.weights=averaged", "steady", "steady schedule.name=cosine schedule.warm_up=3 net.dropout=0.2"}
	}
	table, err := compare(arms, *seeds, *fresh, *epochs)
	switch {
	case err == nil && write:
		err = engine.Publish(page, "recipe", table)
	case err == nil:
		fmt.Print(table)
	}
	if err != nil {
		log.Fatal(err)
	}
}

const page = "docs/training.md"

// An outcome is what one run shows, in points.
type outcome struct {
	jitter, truth float64 // of the logged accuracy: of the validation set and of the fresh subjects
	late, last    float64 // accuracy of the fresh subjects: mean of the last third of the epochs, and in the end
}

// compare returns the Markdown table of all arms.
func compare(arms []string, seeds, fresh, epochs int) (string, error) {
	var table strings.Builder
	table.WriteString("| training, validation subjects | recipe | jitter, validation | jitter, fresh | accuracy, fresh, late | accuracy, fresh, last |\n|---|---|--:|--:|--:|--:|\n")
	for _, size := range cohortSizes {
		outcomes := make([][]outcome, len(arms))
		for seed := range seeds {
			for a, arm := range arms {
				o, err := trainOne(arm, uint64(seed+1), size, fresh, epochs)
				if err != nil {
					return "", fmt.Errorf("%s: %w", arm, err)
				}
				outcomes[a] = append(outcomes[a], o)
			}
		}
		for a, arm := range arms {
			fmt.Fprintf(&table, "| %d, %d | `%s` |%s |\n", size[0], size[1], arm, strings.Join(cells(outcomes[a]), " |"))
		}
	}
	return table.String(), nil
}

// cells writes each number as its mean over the seeds with the standard error.
func cells(outcomes []outcome) []string {
	var written []string
	for _, of := range []func(outcome) float64{
		func(o outcome) float64 { return o.jitter }, func(o outcome) float64 { return o.truth },
		func(o outcome) float64 { return o.late }, func(o outcome) float64 { return o.last },
	} {
		var sum, square float64
		n := float64(len(outcomes))
		for _, o := range outcomes {
			sum += of(o) / n
		}
		for _, o := range outcomes {
			square += (of(o) - sum) * (of(o) - sum)
		}
		written = append(written, fmt.Sprintf(" %.1f ± %.1f", sum, math.Sqrt(square/(n-1)/n)))
	}
	return written
}

// trainOne trains one arm on the cohort of a seed.
func trainOne(arm string, seed uint64, size [2]int, fresh, epochs int) (outcome, error) {
	config := phantom.Default().Resized(3, 24)
	config.Seed = seed
	plan := train.DefaultPlan()
	plan.Seed, plan.Epochs, plan.Batch = seed, epochs, 8
	plan.Net.Width, plan.Prep.Crop, plan.Views.Every = 8, "mask", 0
	recipe, settings, _ := strings.Cut(arm, " ")
	if err := plan.Set("recipe", recipe); err != nil {
		return outcome{}, err
	}
	for _, setting := range strings.Fields(settings) {
		key, value, _ := strings.Cut(setting, "=")
		if err := plan.Set(key, value); err != nil {
			return outcome{}, err
		}
	}
	images, err := phantomImages(config, &plan, size, fresh)
	if err != nil {
		return outcome{}, err
	}
	var r recorder
	if err := train.Train(context.Background(), plan, images, &r, train.Options{}); err != nil {
		return outcome{}, err
	}
	return r.outcome(), nil
}
