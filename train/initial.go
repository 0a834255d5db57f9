package train

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"ballast/net"
)

// InitialFile is the file of a run with the tensors that training started from,
// where the plan takes some from a file; see Net.Weights.
const InitialFile = "weights/initial.safetensors"

// readInitial returns the tensors of the file net.weights that fit the network,
// nil where the plan names no file, and what a user may want to know of them. It
// also holds net.freeze against the network.
func readInitial(p *Plan, config net.Config) (tensors []net.Tensor, notes []string, err error) {
	if p.Net.Weights == "" && len(p.Net.Freeze) == 0 {
		return nil, nil, nil
	}
	network, err := net.Build(config, p.Seed, nil)
	if err != nil {
		return nil, nil, err
	}
	if err := network.Freeze(p.Net.Freeze); err != nil {
		return nil, nil, fmt.Errorf("%w: net.freeze: %w", ErrPlan, err)
	}
	if p.Net.Weights == "" {
		return nil, []string{fmt.Sprintf("net.freeze without net.weights: %s keep the weights that the seed drew", strings.Join(p.Net.Freeze, ", "))}, nil
	}
	all, skipped, err := ReadTensors(p.Net.Weights)
	if err != nil {
		return nil, nil, fmt.Errorf("net.weights: %w", err)
	}
	fit := network.Fit(all)
	fit.Left = append(fit.Left, LeftSkipped(skipped)...)
	if len(fit.Used) == 0 {
		return nil, nil, fmt.Errorf("net.weights: none of the %d tensors of %s fits network %q (%s); ballast import-weights shows what does not fit",
			len(all)+len(skipped), p.Net.Weights, config.Name, firstLeftover(fit.Left))
	}
	notes = fitNotes(p.Net.Weights, fit)
	if drawn := frozenOf(p.Net.Freeze, fit.Missing); len(drawn) > 0 {
		notes = append(notes, "frozen, though the file does not give them: "+firstFew(drawn))
	}
	return fit.Used, notes, nil
}

// frozenOf returns those names that begin with one of the words; see net.Net.Freeze.
func frozenOf(words, names []string) (frozen []string) {
	for _, name := range names {
		if slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(name+".", word+".") }) {
			frozen = append(frozen, name)
		}
	}
	return frozen
}

// LeftSkipped lists tensors that could not be read, without the counters of
// PyTorch's batch normalisation, which nothing depends on.
func LeftSkipped(skipped []net.Skipped) (left []net.Leftover) {
	for _, s := range skipped {
		if !strings.HasSuffix(s.Name, "num_batches_tracked") {
			left = append(left, net.Leftover{Name: s.Name, Reason: "it holds " + s.DType})
		}
	}
	return left
}

func firstLeftover(left []net.Leftover) string {
	if len(left) == 0 {
		return "it is empty"
	}
	return fmt.Sprintf("%s: %s", left[0].Name, left[0].Reason)
}

// fitNotes says what of a file is used and what is not.
func fitNotes(file string, fit net.Fit) []string {
	notes := []string{fmt.Sprintf("training starts from %d of the network's %d tensors in %s", len(fit.Used), len(fit.Used)+len(fit.Missing), file)}
	if len(fit.Missing) > 0 {
		notes = append(notes, "drawn from the seed, because the file does not give them: "+firstFew(fit.Missing))
	}
	var left []string
	for _, l := range fit.Left {
		left = append(left, fmt.Sprintf("%s (%s)", l.Name, l.Reason))
	}
	if len(left) > 0 {
		notes = append(notes, "not used of "+file+": "+firstFew(left))
	}
	return notes
}

// firstFew lists names on one line.
func firstFew(names []string) string {
	const few = 4
	if len(names) <= few+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// begin gives the networks of a training, the one that learns and the average, the
// tensors that it starts from and the mistakes that the plan plants in them, and
// freezes in both what the plan says, so that an average of what is frozen is that
// itself.
func begin(p *Plan, images *Images, networks ...*net.Net) error {
	for _, n := range networks {
		if err := n.LoadPart(images.Initial); err != nil {
			return fmt.Errorf("start from the tensors of net.weights: %w", err)
		}
		if err := p.plantInitial(n); err != nil {
			return fmt.Errorf("plant mistakes.initial_gain and initial_bias: %w", err)
		}
		if err := n.Freeze(p.Net.Freeze); err != nil {
			return fmt.Errorf("%w: net.freeze: %w", ErrPlan, err)
		}
	}
	return nil
}

// recordInitial keeps the tensors that training starts from with the run: the
// file that the plan names may change or go away.
func (t *trainer) recordInitial(recorder Recorder) error {
	if len(t.images.Initial) == 0 {
		return nil
	}
	return recorder.WriteFrom(InitialFile, func(w io.Writer) error {
		return net.WriteSafetensors(w, t.images.Initial, map[string]string{"format": "pt"})
	})
}

// ReadTensors reads a safetensors file of any program: its tensors of
// floating-point numbers, and the others' names and types.
func ReadTensors(path string) ([]net.Tensor, []net.Skipped, error) {
	tensors, skipped, _, err := readSafetensors(path)
	return tensors, skipped, err
}

func readSafetensors(path string) ([]net.Tensor, []net.Skipped, map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		var ofFile *os.PathError
		if errors.As(err, &ofFile) {
			err = ofFile.Err
		}
		return nil, nil, nil, fmt.Errorf("read weights %s: %w", path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read weights %s: %w", path, err)
	}
	tensors, skipped, metadata, err := net.ReadAnySafetensors(file, info.Size())
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read weights %s: %w", path, err)
	}
	return tensors, skipped, metadata, nil
}
