package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
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

// WriteProbes stores the results in the folder of a run, whole or not at all.
func WriteProbes(dir string, p *Probes) error {
	text, err := encode(p, "  ")
	file := filepath.Join(dir, ProbesFile)
	if err == nil {
		err = writeSynced(file+temporary, bytesOf(text))
	}
	if err == nil {
		err = os.Rename(file+temporary, file)
	}
	if err != nil {
		os.Remove(file + temporary)
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// maxProbes is the largest probes.json that is read, in bytes.
const maxProbes = 4 << 20

func (r *Run) readProbes(dir string) error {
	file := filepath.Join(dir, ProbesFile)
	text, err := readLimited(file, maxProbes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.Probes, err = decodeProbes(text); err == nil && r.Probes.Format != Format {
		err = fmt.Errorf("format %d; this program reads format %d", r.Probes.Format, Format)
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
	var found map[string]json.RawMessage
	if err := json.Unmarshal(text, &found); err != nil {
		return plain(err, text)
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		var x Float
		if err := x.UnmarshalJSON(found[name]); err != nil {
			return fmt.Errorf("%s: %w", abbreviate(name), err)
		}
		into[name] = x
	}
	return nil
}
