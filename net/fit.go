package net

import (
	"fmt"
	"slices"
	"strings"
)

// A Fit says which tensors of a file a network can start from.
type Fit struct {
	Used    []Tensor   // they fit, in the order of the layers
	Missing []string   // tensors of the network that the file does not give
	Left    []Leftover // tensors of the file that are not used, in its order
}

// A Leftover is a tensor that is not used, and why.
type Leftover struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Fit holds tensors of a file against those of State. A tensor fits by its name
// and shape; of two with the same name only the first can. A layer whose weight
// does not fit takes nothing: a bias means little without it.
func (n *Net) Fit(tensors []Tensor) Fit {
	var fit Fit
	used := map[string]Tensor{}
	entries := map[string]*entry{}
	for _, e := range n.entries() {
		entries[e.name] = e
	}
	for _, t := range tensors {
		if _, twice := used[t.Name]; twice {
			fit.Left = append(fit.Left, Leftover{t.Name, "the name occurs twice"})
		} else if reason := entries[t.Name].refuse(t); reason != "" {
			fit.Left = append(fit.Left, Leftover{t.Name, reason})
		} else {
			used[t.Name] = t
		}
	}
	for _, t := range tensors {
		weight := t.Name[:strings.LastIndex(t.Name, ".")+1] + "weight"
		_, fits := used[t.Name]
		if _, whole := used[weight]; fits && !whole && entries[weight] != nil {
			delete(used, t.Name)
			fit.Left = append(fit.Left, Leftover{t.Name, "the file gives no " + weight + " that fits"})
		}
	}
	for _, e := range n.entries() {
		if t, ok := used[e.name]; ok {
			fit.Used = append(fit.Used, t)
		} else {
			fit.Missing = append(fit.Missing, e.name)
		}
	}
	return fit
}

// refuse says why a tensor cannot be taken for that of the network, which is nil
// where it has none of the name.
func (e *entry) refuse(t Tensor) string {
	switch {
	case e == nil:
		return "the network has no tensor of this name"
	case !slices.Equal(t.Shape, e.shape):
		return fmt.Sprintf("it has shape %v, the network needs %v", t.Shape, e.shape)
	case slices.ContainsFunc(t.Data, func(v float32) bool { return v-v != 0 }):
		return "it holds numbers that are not finite"
	case strings.HasSuffix(e.name, ".running_var") && slices.ContainsFunc(t.Data, func(v float32) bool { return v < 0 }):
		return "it holds negative variances"
	}
	return ""
}

// LoadPart sets those parameters and running statistics that are given; the others
// stay. Every tensor must fit, else the error wraps ErrState and nothing is
// changed.
func (n *Net) LoadPart(tensors []Tensor) error {
	entries := map[string]*entry{}
	for _, e := range n.entries() {
		entries[e.name] = e
	}
	for _, t := range tensors {
		if reason := entries[t.Name].refuse(t); reason != "" {
			return fmt.Errorf("tensor %q: %s: %w", t.Name, reason, ErrState)
		}
	}
	for _, t := range tensors {
		e := entries[t.Name]
		e.each(func(i, offset int) { e.data[offset] = t.Data[i] })
	}
	return nil
}
