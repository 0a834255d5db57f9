// Command budget holds the fluctuation budget against the truth. It trains on
// phantom cohorts, cleanly and with something planted, and evaluates two kinds of
// fresh subjects after every epoch in every view: a pool, from which validation sets
// of many sizes are cut, and 20,000 that tell what such sets show in the mean. It
// writes how far each share and the jitter of an infinite validation set are from
// the truth into docs/budget.md.
//
//	go run ./bench/budget
//
// The truth for a validation set of n subjects follows from N fresh ones: of each
// view, J² of infinitely many is J² - V_N, and the finite set adds V_n = V_N N/n
// (docs/budget.md).
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"ballast/bench/engine"
)

// The seeds on which methods and constants were chosen, and those on which they
// are measured.
var seeds = map[string]uint64{"development": 81_000, "evaluation": 71_000}

const (
	page        = "docs/budget.md"
	reliability = "docs/reliability-of-diagnosis.md"
	shortTable  = "trained-summary"
)

func main() {
	runs := flag.Int("runs", 68, "trainings, the kinds of them in turn")
	fresh := flag.Int("fresh", 20_000, "fresh subjects that measure the truth")
	epochs := flag.Int("epochs", 30, "epochs of each training")
	class := flag.String("seeds", "evaluation", "evaluation, or development: then the tables are printed and the page stays as it is")
	out := flag.String("out", "", "folder to keep the runs in, and to take them from where they are there (default: a temporary one)")
	rows := flag.String("rows", "", "CSV file for every estimate beside its truth")
	flag.Parse()
	seed, ok := seeds[*class]
	if !ok {
		log.Fatalf("--seeds %s: it is evaluation or development", *class)
	}
	results, err := measure(*runs, *fresh, *epochs, seed, *out)
	if err == nil && *rows != "" {
		err = results.write(*rows)
	}
	if err == nil {
		err = results.publish(*class == "evaluation")
	}
	if err != nil {
		log.Fatal(err)
	}
}

// measure trains the runs and compares what is estimated with the truth.
func measure(runs, fresh, epochs int, seed uint64, out string) (results, error) {
	if out == "" {
		temporary, err := os.MkdirTemp("", "ballast-budget-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(temporary)
		out = temporary
	}
	populations := make([]*population, len(phantoms))
	var all results
	for number := range runs {
		index := (number + number/len(kinds)) % len(phantoms)
		if populations[index] == nil {
			p, err := newPopulation(index, seed, fresh)
			if err != nil {
				return nil, err
			}
			populations[index] = p
		}
		s := study{kind: kinds[number%len(kinds)], number: number, seed: seed + uint64(number), population: populations[index]}
		c, err := s.record(epochs, filepath.Join(out, fmt.Sprintf("%d-%d-%d", seed, fresh, epochs)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		found, err := c.compare()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		all = append(all, found...)
		log.Printf("%d of %d: %s, %s", number+1, runs, s.name, s.population.name)
	}
	return all, nil
}

// publish writes the tables and the figure, or prints the tables of development
// seeds. The short table also stands on the page about all of the diagnosis, where
// that has a place for it.
func (r results) publish(evaluation bool) error {
	short, table, kinds := r.short(), r.table(), r.byKind()
	if !evaluation {
		fmt.Print(short, "\n", table, "\n", kinds)
		return nil
	}
	for _, block := range []struct{ page, name, text string }{{page, shortTable, short}, {page, "trained", table}, {page, "trained-kinds", kinds}} {
		if err := engine.Publish(block.page, block.name, block.text); err != nil {
			return err
		}
	}
	if text, err := os.ReadFile(reliability); err == nil && strings.Contains(string(text), "<!-- table "+shortTable+" -->") {
		if err := engine.Publish(reliability, shortTable, short); err != nil {
			return err
		}
	}
	return r.draw(figure)
}
