package run

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"
)

// Limits that keep a damaged or hostile file from exhausting memory. A run of
// 20,000 subjects stays far below all of them.
const (
	maxHeader      = 16 << 20 // bytes of run.json
	maxPlan        = 1 << 20  // bytes of plan.yaml
	maxEpochs      = 1 << 30  // bytes of epochs.jsonl
	maxEvaluations = 64       // per epoch
)

// sumTolerance is how far the probabilities of a subject may be from adding
// up to 1: another program may have rounded them to a few decimals.
const sumTolerance = 0.01

// maxLine bounds a line of epochs.jsonl: every class of every subject of the
// largest set with 32 characters, in as many evaluations as allowed.
func (h *Header) maxLine() int64 {
	largest := 0
	for _, subjects := range h.Sets {
		largest = max(largest, len(subjects))
	}
	return maxEvaluations * (4096 + 32*int64(largest)*int64(len(h.Classes)+1))
}

func (h *Header) validate() error {
	if err := h.problem(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func (h *Header) problem() error {
	switch {
	case !slices.Contains([]string{Running, Complete, Stopped, Interrupted}, h.Status):
		return fmt.Errorf("status %q; want %s, %s, %s or %s", h.Status, Running, Complete, Stopped, Interrupted)
	case h.Planned < 0:
		return fmt.Errorf("epochs_planned is %d", h.Planned)
	case len(h.Classes) < 2:
		return fmt.Errorf("%d classes; at least 2 are needed", len(h.Classes))
	case !utf8.ValidString(h.Creator):
		return errors.New("creator is not UTF-8")
	}
	known := make(map[string]bool, len(h.Classes))
	for _, class := range h.Classes {
		if err := checkText("class", class); err != nil {
			return err
		}
		if known[class] {
			return fmt.Errorf("class %q is listed twice", class)
		}
		known[class] = true
	}
	for _, set := range slices.Sorted(maps.Keys(h.Sets)) {
		if err := checkText("set", set); err != nil {
			return err
		}
		if err := h.checkSubjects(h.Sets[set]); err != nil {
			return fmt.Errorf("set %s: %w", set, err)
		}
	}
	return nil
}

func checkText(what, text string) error {
	switch {
	case text == "":
		return fmt.Errorf("a %s without a name", what)
	case !utf8.ValidString(text):
		return fmt.Errorf("%s %q is not UTF-8", what, text)
	}
	return nil
}

func (h *Header) checkSubjects(subjects []Subject) error {
	seen := make(map[string]bool, len(subjects))
	for _, s := range subjects {
		if err := checkText("subject", s.ID); err != nil {
			return err
		}
		switch {
		case seen[s.ID]:
			return fmt.Errorf("subject %s is listed twice", s.ID)
		case s.Class < 0 || s.Class >= len(h.Classes):
			return fmt.Errorf("subject %s has class %d; there are classes 0 to %d", s.ID, s.Class, len(h.Classes)-1)
		case s.Images < 0:
			return fmt.Errorf("subject %s has %d images", s.ID, s.Images)
		case !utf8.ValidString(s.Site):
			return fmt.Errorf("subject %s: site %q is not UTF-8", s.ID, s.Site)
		}
		seen[s.ID] = true
	}
	return nil
}

// validateEpoch holds an epoch against the header and the epoch before it.
func (h *Header) validateEpoch(e, before *Epoch) error {
	switch {
	case e.Epoch != before.Epoch+1:
		return fmt.Errorf("%w: epoch %d follows epoch %d", ErrInvalid, e.Epoch, before.Epoch)
	case h.Planned > 0 && e.Epoch > h.Planned:
		return fmt.Errorf("%w: epoch %d of %d planned", ErrInvalid, e.Epoch, h.Planned)
	case e.Step < before.Step:
		return fmt.Errorf("%w: step %d follows step %d", ErrInvalid, e.Step, before.Step)
	}
	if e.Health != nil {
		if err := e.Health.check(); err != nil {
			return fmt.Errorf("%w: health: %w", ErrInvalid, err)
		}
	}
	return h.validateEvaluations(e.Evaluations)
}

func (h *Header) validateTest(evaluations []Evaluation) error {
	for _, e := range evaluations {
		if e.Set != Test {
			return fmt.Errorf("%w: an evaluation of the set %q; want %s", ErrInvalid, e.Set, Test)
		}
	}
	return h.validateEvaluations(evaluations)
}

func (h *Header) validateEvaluations(evaluations []Evaluation) error {
	if len(evaluations) > maxEvaluations {
		return fmt.Errorf("%w: %d evaluations; at most %d", ErrInvalid, len(evaluations), maxEvaluations)
	}
	for i := range evaluations {
		e := &evaluations[i]
		for _, other := range evaluations[:i] {
			if other.View == e.View && other.Set == e.Set {
				return fmt.Errorf("%w: two evaluations of view %s and set %s", ErrInvalid, e.View, e.Set)
			}
		}
		if err := h.checkEvaluation(e); err != nil {
			return fmt.Errorf("%w: view %s, set %s: %w", ErrInvalid, e.View, e.Set, err)
		}
	}
	return nil
}

func (h *Header) checkEvaluation(e *Evaluation) error {
	if err := checkText("view", e.View); err != nil {
		return err
	}
	subjects, known := h.Sets[e.Set]
	switch {
	case !known:
		return fmt.Errorf("the set is not in run.json, which has %q", slices.Sorted(maps.Keys(h.Sets)))
	case e.Accuracy < 0 || e.Accuracy > 1:
		return fmt.Errorf("accuracy is %g; it is a share from 0 to 1", float64(e.Accuracy))
	case e.Probabilities != nil && len(e.Probabilities) != len(subjects):
		return fmt.Errorf("%d rows of probabilities for %d subjects", len(e.Probabilities), len(subjects))
	}
	for i, row := range e.Probabilities {
		if row == nil {
			continue
		}
		if err := h.checkRow(row); err != nil {
			return fmt.Errorf("subject %s: %w", subjects[i].ID, err)
		}
	}
	return nil
}

// checkRow refuses what cannot be probabilities. Non-finite values pass: they
// are what a diverged network predicts.
func (h *Header) checkRow(row Row) error {
	if len(row) != len(h.Classes) {
		return fmt.Errorf("%d probabilities for %d classes", len(row), len(h.Classes))
	}
	sum := 0.0
	for _, p := range row {
		wide := float64(p)
		sum += wide
		if (wide < 0 || wide > 1) && !math.IsInf(wide, 0) {
			return fmt.Errorf("%g is not a probability", p)
		}
	}
	// A sum that is not finite is neither near 1 nor a mistake of the writer.
	if math.Abs(sum-1) > sumTolerance && !math.IsInf(sum, 0) {
		return fmt.Errorf("the probabilities add up to %.4g", sum)
	}
	return nil
}
