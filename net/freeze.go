package net

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ballast/stat"
)

// ErrFreeze is wrapped by the error of Freeze.
var ErrFreeze = errors.New("layers cannot be frozen")

// Freeze fixes the parameters whose names begin with one of the given words, whole
// words as in "block1", "block2.conv" or "head.bias". Params leaves them out, so
// that no optimiser moves them. A batch normalisation all of whose parameters are
// frozen keeps its running statistics and normalises by them while training too,
// and in recalibration: a fixed function of its input. Backward ends at the first stage
// that is trained. The error wraps ErrFreeze, for a word that no name begins with and when
// nothing is left to train; nothing is changed then. Earlier calls are forgotten.
func (n *Net) Freeze(words []string) error {
	for _, word := range words {
		if !slices.ContainsFunc(n.params, func(p *Param) bool { return beginsWith(p.Name, word) }) {
			return fmt.Errorf("%w: no layer of network %q is called %q; did you mean %q?", ErrFreeze, n.config.Name, word, n.nearestLayer(word))
		}
	}
	frozen := func(p *Param) bool {
		return slices.ContainsFunc(words, func(word string) bool { return beginsWith(p.Name, word) })
	}
	trained := slices.DeleteFunc(slices.Clone(n.params), frozen)
	if len(trained) == 0 {
		return fmt.Errorf("%w: nothing of network %q is left to train", ErrFreeze, n.config.Name)
	}
	n.trained = trained
	for _, l := range n.norms {
		l.frozen = frozen(l.gamma) && frozen(l.beta)
	}
	n.firstTrained = len(n.stages)
	for i, s := range n.stages {
		if slices.ContainsFunc(s.members(), n.trains) {
			n.firstTrained = min(n.firstTrained, i)
		}
	}
	return nil
}

// trains reports whether anything of a member is trained.
func (n *Net) trains(m member) bool {
	return slices.ContainsFunc(m.params(), func(p *Param) bool { return slices.Contains(n.trained, p) })
}

// modeOf is the mode that a normalisation works in while the network works in m.
func (l *norm) modeOf(m Mode) Mode {
	if l.frozen && m.measures() {
		return Inference
	}
	return m
}

// beginsWith reports whether a dotted name begins with whole words.
func beginsWith(name, words string) bool {
	return name == words || strings.HasPrefix(name, words+".")
}

// nearestLayer returns the beginning of a parameter's name with the fewest edits
// to the word.
func (n *Net) nearestLayer(word string) string {
	best, fewest := "", -1
	for _, p := range n.params {
		for end := range len(p.Name) + 1 {
			if end < len(p.Name) && p.Name[end] != '.' {
				continue
			}
			if distance := stat.EditDistance(word, p.Name[:end]); fewest < 0 || distance < fewest {
				best, fewest = p.Name[:end], distance
			}
		}
	}
	return best
}
