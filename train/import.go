package train

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ballast/net"
	"ballast/run"
)

// ErrRename is wrapped by the errors of RenameTensors.
var ErrRename = errors.New("rename tensors")

// A Rename replaces the beginning of a tensor's name.
type Rename struct{ From, To string }

// RenameTensors gives tensors of another program the names of a network: the
// first of the prefixes to strip that a name begins with is taken off it, then
// the first of the renames whose From it begins with is applied. Every prefix and
// rename must be of use for some tensor, and no two tensors may end up with one
// name; otherwise the error wraps ErrRename. The values are not copied.
func RenameTensors(tensors []net.Tensor, strip []string, renames []Rename) ([]net.Tensor, error) {
	var rules []Rename
	for _, prefix := range strip {
		rules = append(rules, Rename{From: prefix})
	}
	named, origin := slices.Clone(tensors), map[string]string{}
	for _, group := range [][]Rename{rules, renames} {
		if err := renameByFirst(named, group); err != nil {
			return nil, err
		}
	}
	for i, t := range named {
		if other, twice := origin[t.Name]; twice {
			return nil, fmt.Errorf("%w: %s and %s would both be called %s", ErrRename, other, tensors[i].Name, t.Name)
		}
		origin[t.Name] = tensors[i].Name
	}
	return named, nil
}

func renameByFirst(tensors []net.Tensor, rules []Rename) error {
	used := make([]bool, len(rules))
	for i, t := range tensors {
		for k, rule := range rules {
			if rest, ok := strings.CutPrefix(t.Name, rule.From); ok {
				tensors[i].Name, used[k] = rule.To+rest, true
				break
			}
		}
	}
	for k, rule := range rules {
		if !used[k] {
			return fmt.Errorf("%w: no name begins with %q that an earlier rule has left%s", ErrRename, rule.From, firstName(tensors))
		}
	}
	return nil
}

func firstName(tensors []net.Tensor) string {
	if len(tensors) == 0 {
		return "; the file has no tensors"
	}
	return fmt.Sprintf("; the first name is %s", tensors[0].Name)
}

// FitNetwork holds tensors against the network of a configuration.
func FitNetwork(config net.Config, tensors []net.Tensor) (net.Fit, error) {
	network, err := net.Build(config, 0, nil)
	if err != nil {
		return net.Fit{}, err
	}
	return network.Fit(tensors), nil
}

// NetOfRun is the network of a run.
func NetOfRun(dir string) (net.Config, error) {
	r, err := run.Open(dir)
	if err != nil {
		return net.Config{}, err
	}
	if r.Plan == nil {
		return net.Config{}, fmt.Errorf("read %s: the run has no plan.yaml, so its network is not known", dir)
	}
	plan, err := ReadPlan(r.Plan)
	if err == nil {
		err = plan.Validate()
	}
	if err != nil {
		return net.Config{}, fmt.Errorf("read %s: %w", filepath.Join(dir, "plan.yaml"), err)
	}
	covariates, err := readRunCovariates(dir, &plan)
	if err != nil {
		return net.Config{}, err
	}
	return plan.netConfig(len(r.Header.Classes), covariates.Width()), nil
}

// NetOfPlan is the network of a resolved plan, whose covariates count as none:
// how many numbers they become depends on the training subjects.
func NetOfPlan(p Plan, classes int) (net.Config, error) {
	if err := p.Validate(); err != nil {
		return net.Config{}, err
	}
	if len(p.Prep.Grid) == 0 || p.Prep.Channels == 0 {
		return net.Config{}, fmt.Errorf("%w: prep.grid or prep.channels is still to be chosen; ballast train COHORT --dry-run prints a plan that states them", ErrPlan)
	}
	config := p.netConfig(classes, 0)
	return config, config.Check()
}

// ImportedFile returns the contents of a file that net.weights can name.
func ImportedFile(tensors []net.Tensor, creator, source string) ([]byte, error) {
	var text strings.Builder
	err := net.WriteSafetensors(&text, tensors, map[string]string{"format": "pt", "creator": creator, "imported": filepath.Base(source)})
	return []byte(text.String()), err
}
