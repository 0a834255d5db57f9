// Command explain measures whether maps point to what is known to carry the
// signal. It trains networks on phantom cohorts, in which only the tumour differs
// between the classes, and counts how often the peak of the map of a fresh subject
// lies in the tumour: with the trained weights, with random ones, and by chance.
// The table goes into docs/explaining.md.
//
//	go run ./bench/explain
//
// Images are cropped to the head and not to the mask, so that the tumour lies
// anywhere in the grid and a map of the grid's middle gains nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"strings"

	"ballast/bench/engine"
	"ballast/cohort"
	"ballast/explain"
	"ballast/net"
	"ballast/phantom"
	"ballast/run"
	"ballast/train"
)

// The seeds of the evaluation are used nowhere else, in no development.
const evaluationSeed = 8201

// A method is one way to make maps.
type method struct {
	name    string
	options explain.Options
}

var methods = []method{
	{"Grad-CAM, `block3.relu` (the default)", explain.Options{}},
	{"Grad-CAM, `block3.pool`", explain.Options{Layer: "block3.pool"}},
	{"Grad-CAM, `block2.relu`", explain.Options{Layer: "block2.relu"}},
	{"occlusion with the mean", explain.Options{Method: explain.Occlusion, Box: [3]int{6, 6, 6}, Stride: [3]int{3, 3, 3}}},
	{"occlusion with the background", explain.Options{Method: explain.Occlusion, Box: [3]int{6, 6, 6}, Stride: [3]int{3, 3, 3}, Fill: explain.FillBackground}},
}

// A study is how large the experiment is.
type study struct {
	train, validation, fresh, epochs, seeds int
	seed                                    uint64
}

// classes are those of a phantom: what speaks for a responder is planted in the
// tumour, what speaks for the other class is that it is not there.
var classes = []string{"non-responder", "responder"}

// A score adds up what the maps of one method show of the subjects of one class.
type score struct {
	maps, hits   []int // of each network: all maps, and those whose peak lies in the tumour
	troughs      []int // those whose lowest value lies there
	peaks        int   // maps with a peak
	mass, field  float64
	correlations float64 // sum of the medians
	correlated   int
}

// scores are those of the methods, by class.
type scores [][2]score

func main() {
	s := study{train: 200, validation: 40, seed: evaluationSeed}
	flag.IntVar(&s.fresh, "fresh", 40, "fresh subjects of each network")
	flag.IntVar(&s.epochs, "epochs", 25, "epochs of each run")
	flag.IntVar(&s.seeds, "seeds", 3, "networks, each on a cohort of its own")
	flag.Uint64Var(&s.seed, "seed", s.seed, "of the first cohort; with another one the page is left as it is")
	flag.Parse()
	table, err := s.table()
	if err == nil && s.seed != evaluationSeed {
		_, err = os.Stdout.WriteString(table)
	} else if err == nil {
		err = engine.Publish(page, "pointing", table)
	}
	if err != nil {
		log.Fatal(err)
	}
}

const page = "docs/explaining.md"

// table trains all networks and returns the Markdown table.
func (s study) table() (string, error) {
	dir, err := os.MkdirTemp("", "ballast-explain-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	trained, random := make(scores, len(methods)), make(scores, len(methods))
	right, all := 0, 0
	for n := range s.seeds {
		subjects, predictor, err := s.network(filepath.Join(dir, fmt.Sprint(n)), s.seed+uint64(n))
		if err != nil {
			return "", err
		}
		trained.begin()
		random.begin()
		correct, err := s.score(subjects, predictor, uint64(n), trained, random)
		predictor.Close()
		if err != nil {
			return "", err
		}
		right, all = right+correct, all+len(subjects)
		log.Printf("network %d: %d of %d fresh subjects right", n+1, correct, len(subjects))
	}
	return s.write(trained, random, right, all), nil
}

// network writes a cohort, trains on its first subjects and returns the others.
func (s study) network(dir string, seed uint64) ([]cohort.Subject, *train.Predictor, error) {
	config := phantom.Default().Resized(3, 24)
	config.Seed, config.Effect = seed, 8
	folder := filepath.Join(dir, "cohort")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, nil, err
	}
	if err := phantom.Write(context.Background(), folder, config, s.train+s.validation+s.fresh, func(int) {}); err != nil {
		return nil, nil, err
	}
	all, err := cohort.Open(folder, cohort.Options{})
	if err != nil {
		return nil, nil, err
	}
	split := cohort.Split{}
	for k := range s.train + s.validation {
		if k < s.train {
			split.Train = append(split.Train, k)
		} else {
			split.Validation = append(split.Validation, k)
		}
	}
	plan := train.DefaultPlan()
	plan.Seed, plan.Epochs, plan.Batch = seed, s.epochs, 8
	plan.Augment = train.Augment{}
	plan.Net.Name, plan.Net.Width = "cnn3", 8
	plan.Prep.Crop, plan.Prep.Grid, plan.Prep.Spacing, plan.Prep.Channels = "foreground", []int{24, 24, 24}, []float64{8, 8, 8}, 1
	plan.Views.Every = 0
	images, err := train.Load(context.Background(), all, split, plan, train.Reading{Threads: 2})
	if err != nil {
		return nil, nil, err
	}
	out := filepath.Join(dir, "run")
	writer, err := run.Create(out, train.Header(plan, images, "ballast bench/explain"), plan.YAML())
	if err != nil {
		return nil, nil, err
	}
	if err := train.Train(context.Background(), plan, images, writer, train.Options{}); err != nil {
		return nil, nil, err
	}
	predictor, err := train.NewPredictor(out, train.LastWeights, 0)
	return all.Subjects[s.train+s.validation:], predictor, err
}

// score makes the maps of all subjects, for their own class, with the network and
// with a random one.
func (s study) score(subjects []cohort.Subject, predictor *train.Predictor, seed uint64, trained, random scores) (right int, err error) {
	untrained, err := predictor.Network().Randomised(1000 + seed)
	if err != nil {
		return 0, err
	}
	for i, m := range methods {
		for _, subject := range subjects {
			options := m.options
			options.Class = subject.Class
			if _, err := random[i][subject.Class].add(predictor, untrained, subject, options); err != nil {
				return 0, err
			}
			if m.options.Method != explain.Occlusion {
				options.Random = 5
			}
			e, err := trained[i][subject.Class].add(predictor, predictor.Network(), subject, options)
			if err != nil {
				return 0, err
			}
			if i == 0 && e.Probabilities[subject.Class] > 0.5 {
				right++
			}
		}
	}
	return right, nil
}

// add makes the map of one subject and counts what it shows.
func (s *score) add(predictor *train.Predictor, n *net.Net, subject cohort.Subject, o explain.Options) (*explain.Explanation, error) {
	e, err := explain.Explain(context.Background(), explain.Model{Net: n, Config: predictor.Config}, explain.Subject{Images: subject.Images}, o)
	if err != nil {
		return nil, err
	}
	if e.Sanity != nil && !math.IsNaN(e.Sanity.Median) {
		s.correlations += e.Sanity.Median
		s.correlated++
	}
	last := len(s.maps) - 1
	s.maps[last]++
	if inside := e.Maps[0].Inside; inside != nil && inside.Trough {
		s.troughs[last]++
	}
	if inside := e.Maps[0].Inside; inside != nil && e.Maps[0].Peak != nil {
		s.peaks++
		s.mass += inside.Mass
		s.field += inside.Field
		if inside.Peak {
			s.hits[last]++
		}
	}
	return e, nil
}

// share writes how many of the maps are hits, those without a peak being misses,
// and that of each network.
func (s score) share(of []int) string {
	maps, hits := 0, 0
	var each []string
	for n := range s.maps {
		maps, hits = maps+s.maps[n], hits+of[n]
		each = append(each, fmt.Sprintf("%.0f", 100*float64(of[n])/float64(s.maps[n])))
	}
	return fmt.Sprintf("%.0f (%s)", 100*float64(hits)/float64(maps), strings.Join(each, ", "))
}

// begin makes room for the maps of another network.
func (s scores) begin() {
	for i := range s {
		for class := range s[i] {
			one := &s[i][class]
			one.maps, one.hits, one.troughs = append(one.maps, 0), append(one.hits, 0), append(one.troughs, 0)
		}
	}
}

func (s study) write(trained, random scores, right, all int) string {
	var text strings.Builder
	field, maps := 0.0, 0
	for _, one := range trained[0] {
		field, maps = field+one.field, maps+one.peaks
	}
	fmt.Fprintf(&text, "%d networks, each trained on %d subjects, classify %d of %d fresh subjects rightly. The tumour fills %.1f %% of the field of view.\n\n",
		s.seeds, s.train, right, all, 100*field/float64(maps))
	text.WriteString("| map | subjects | peak in the tumour, % (each network) | with random weights, % (each network) | lowest value in the tumour, % (each network) | positive mass in the tumour, % | with random weights, % | rank correlation with random weights |\n|---|---|--:|--:|--:|--:|--:|--:|\n")
	for i, m := range methods {
		for class := len(classes) - 1; class >= 0; class-- {
			a, b := trained[i][class], random[i][class]
			correlation, lowest := "", ""
			if m.options.Method == explain.Occlusion {
				lowest = a.share(a.troughs)
			}
			if a.correlated > 0 {
				correlation = fmt.Sprintf("%.2f", a.correlations/float64(a.correlated))
			}
			fmt.Fprintf(&text, "| %s | %ss | %s | %s | %s | %.0f | %.0f | %s |\n", m.name, classes[class], a.share(a.hits), b.share(b.hits), lowest,
				100*a.mass/float64(a.peaks), 100*b.mass/float64(b.peaks), correlation)
		}
	}
	return text.String()
}
