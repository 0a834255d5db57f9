package run

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
)

// ProbesFile holds the results of experiments that were made with the run's
// weights and images after training.
const ProbesFile = "probes.json"

// Probes are the experiments made on a run.
type Probes struct {
	Format  int           `json:"format"` // Format
	Epoch   int           `json:"epoch"`  // after which the weights were taken
	Results []ProbeResult `json:"results"`
}

// A ProbeResult is what one experiment measured.
type ProbeResult struct {
	ID string `json:"id"`
	// Skipped says why the experiment was not made; empty where it was.
	Skipped string `json:"skipped,omitempty"`
	// Values are what was measured, by name. docs/probes.md explains each.
	Values map[string]Float `json:"values"`
}

// Value returns a named number and whether the experiment was made and gave it.
func (p *ProbeResult) Value(name string) (value float64, known bool) {
	if p == nil || p.Skipped != "" {
		return 0, false
	}
	x, known := p.Values[name]
	return float64(x), known
}

// Result returns the result of an experiment, nil where there is none.
func (p *Probes) Result(id string) *ProbeResult {
	if p == nil {
		return nil
	}
	for i := range p.Results {
		if p.Results[i].ID == id {
			return &p.Results[i]
		}
	}
	return nil
}

// WriteProbes stores the results in the folder of a run, whole or not at all. It
// returns ErrInvalid for results that the format does not allow.
func WriteProbes(dir string, p *Probes) error {
	file := filepath.Join(dir, ProbesFile)
	if err := p.check(); err != nil {
		return fmt.Errorf("write %s: %w: %w", file, ErrInvalid, err)
	}
	whole := Probes{Format: Format, Epoch: p.Epoch, Results: []ProbeResult{}}
	for _, result := range p.Results {
		if result.Values == nil {
			result.Values = map[string]Float{}
		}
		whole.Results = append(whole.Results, result)
	}
	text, err := encode(whole, "  ")
	if err == nil {
		err = replaceFile(file, bytesOf(text))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// maxProbes is the largest probes.json that is read, in bytes.
const maxProbes = 4 << 20

func (r *Run) readProbes(dir string) error {
	file := filepath.Join(dir, ProbesFile)
	text, err := readVersioned(file, maxProbes)
	if text == nil || err != nil {
		return err
	}
	if r.Probes, err = decodeProbes(text); err == nil {
		err = r.Probes.check()
	}
	if err != nil {
		return fmt.Errorf("read %s: %w: %w", file, ErrInvalid, err)
	}
	return nil
}

func decodeProbes(text []byte) (*Probes, error) {
	p := &Probes{Results: []ProbeResult{}}
	err := decodeObject(text,
		member{"format", &p.Format, false},
		member{"epoch", &p.Epoch, false},
		member{"results", func(text []byte) error {
			return decodeArray(text, func(_ int, element []byte) error {
				result := ProbeResult{Values: map[string]Float{}}
				err := decodeObject(element,
					member{"id", &result.ID, false},
					member{"skipped", &result.Skipped, true},
					member{"values", func(text []byte) error { return decodeValues(text, result.Values) }, false},
				)
				p.Results = append(p.Results, result)
				return err
			})
		}, false},
	)
	return p, err
}

func decodeValues(text []byte, into map[string]Float) error {
	return decodeNamed(text, func(name string, value []byte) error {
		var x Float
		err := x.UnmarshalJSON(value)
		into[name] = x
		return err
	})
}

// check refuses what no experiment can have given.
func (p *Probes) check() error {
	if p.Epoch < 0 {
		return fmt.Errorf("epoch is %d", p.Epoch)
	}
	for i, result := range p.Results {
		if err := checkText("probe", result.ID); err != nil {
			return err
		}
		if slices.ContainsFunc(p.Results[:i], func(other ProbeResult) bool { return other.ID == result.ID }) {
			return fmt.Errorf("probe %s is listed twice", result.ID)
		}
		for _, name := range slices.Sorted(maps.Keys(result.Values)) {
			if err := checkText("value", name); err != nil {
				return fmt.Errorf("probe %s: %w", result.ID, err)
			}
		}
	}
	return nil
}
