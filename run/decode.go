package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A member is one key of a JSON object and where its value goes: a pointer for
// json.Unmarshal, or a func([]byte) error.
type member struct {
	key      string
	into     any
	optional bool
}

// decodeObject reads a JSON object that has all the members that are not
// optional and no other. Unlike encoding/json it tells a missing key from a
// zero, and keys that differ in case.
func decodeObject(text []byte, members ...member) error {
	var found map[string]json.RawMessage
	if err := json.Unmarshal(text, &found); err != nil {
		return plain(err, text)
	}
	if found == nil {
		return errors.New("null where an object is expected")
	}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		if !slices.ContainsFunc(members, func(m member) bool { return m.key == key }) {
			return fmt.Errorf("unknown key %q; did you mean %q?", abbreviate(key), nearest(key, members))
		}
	}
	for _, m := range members {
		value, ok := found[m.key]
		switch {
		case !ok && m.optional:
			continue
		case !ok:
			return fmt.Errorf("key %q is missing", m.key)
		}
		if err := m.decode(value); err != nil {
			return fmt.Errorf("%s: %w", m.key, err)
		}
	}
	return nil
}

func (m member) decode(value []byte) error {
	if into, ok := m.into.(func([]byte) error); ok {
		return into(value)
	}
	if _, ok := m.into.(*Float); !ok && string(value) == "null" {
		if m.optional {
			return nil
		}
		return errors.New("null where a value is expected")
	}
	return plain(json.Unmarshal(value, m.into), value)
}

// decodeArray calls decode for each element of a JSON array.
func decodeArray(text []byte, decode func(index int, element []byte) error) error {
	var elements []json.RawMessage
	if err := json.Unmarshal(text, &elements); err != nil {
		return plain(err, text)
	}
	if elements == nil {
		return errors.New("null where an array is expected")
	}
	for i, element := range elements {
		if err := decode(i, element); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

// decodeNamed calls decode for each member of a JSON object of any names, in order.
func decodeNamed(text []byte, decode func(name string, value []byte) error) error {
	var found map[string]json.RawMessage
	if err := json.Unmarshal(text, &found); err != nil {
		return plain(err, text)
	}
	if found == nil {
		return errors.New("null where an object is expected")
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if err := decode(name, found[name]); err != nil {
			return fmt.Errorf("%s: %w", abbreviate(name), err)
		}
	}
	return nil
}

// plain rewords the errors of encoding/json in the terms of the format.
func plain(err error, text []byte) error {
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		return fmt.Errorf("%s where %s is expected", wrongType.Value, kindName(wrongType.Type))
	case errors.As(err, &syntax):
		hint := ""
		if bytes.Contains(text, []byte("NaN")) || bytes.Contains(text, []byte("Infinity")) {
			hint = ` (write non-finite numbers as the strings "NaN", "Infinity", "-Infinity")`
		}
		return fmt.Errorf("not JSON at byte %d: %w%s", syntax.Offset, err, hint)
	}
	return err
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "an array"
	}
	return "an object"
}

// nearest returns the known key with the smallest edit distance.
func nearest(key string, members []member) string {
	best := slices.MinFunc(members, func(a, b member) int {
		return editDistance(key, a.key) - editDistance(key, b.key)
	})
	return best.key
}

// editDistance is Levenshtein's: insertions, deletions and substitutions of
// bytes, letter case apart, that turn a into b.
func editDistance(a, b string) int {
	a, b = strings.ToLower(abbreviate(a)), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitution := diagonal
			if a[i] != b[j] {
				substitution++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitution, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// decodeFormat reads the version before anything else, since a newer format
// may have any keys. The file is that of the text.
func decodeFormat(text []byte, file string) error {
	var found map[string]json.RawMessage
	if err := json.Unmarshal(text, &found); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, plain(err, text))
	}
	value, ok := found["format"]
	if !ok {
		return fmt.Errorf("%w: key \"format\" is missing, so this is not the %s of a run", ErrInvalid, file)
	}
	var format int
	if err := (member{"format", &format, false}).decode(value); err != nil {
		return fmt.Errorf("%w: format: %w", ErrInvalid, err)
	}
	if format != Format {
		return fmt.Errorf("%w: %d; this program reads format %d", ErrFormat, format, Format)
	}
	return nil
}

func decodeHeader(text []byte) (Header, error) {
	var h Header
	err := decodeObject(text,
		member{"format", &h.Format, false},
		member{"creator", &h.Creator, false},
		member{"status", &h.Status, false},
		member{"epochs_planned", &h.Planned, false},
		member{"classes", &h.Classes, false},
		member{"sets", func(text []byte) (err error) { h.Sets, err = decodeSets(text); return err }, false},
	)
	return h, err
}

func decodeSets(text []byte) (map[string][]Subject, error) {
	sets := map[string][]Subject{}
	err := decodeNamed(text, func(name string, value []byte) error {
		sets[name] = []Subject{}
		return decodeArray(value, func(_ int, element []byte) error {
			s, err := decodeSubject(element)
			sets[name] = append(sets[name], s)
			return err
		})
	})
	return sets, err
}

func decodeSubject(text []byte) (Subject, error) {
	var s Subject
	err := decodeObject(text,
		member{"id", &s.ID, false},
		member{"class", &s.Class, false},
		member{"site", &s.Site, true},
		member{"images", &s.Images, false},
	)
	return s, err
}

func decodeEpoch(text []byte) (Epoch, error) {
	var e Epoch
	err := decodeObject(text,
		member{"epoch", &e.Epoch, false},
		member{"step", &e.Step, false},
		member{"learning_rate", &e.LearningRate, false},
		member{"gradient_norm", &e.GradientNorm, false},
		member{"objective", &e.Objective, true},
		member{"health", func(text []byte) (err error) { e.Health, err = decodeHealth(text); return err }, true},
		member{"evaluations", func(text []byte) (err error) { e.Evaluations, err = decodeEvaluations(text); return err }, false},
	)
	return e, err
}

func decodeEvaluations(text []byte) ([]Evaluation, error) {
	evaluations := []Evaluation{}
	err := decodeArray(text, func(_ int, element []byte) error {
		var e Evaluation
		err := decodeObject(element,
			member{"view", &e.View, false},
			member{"set", &e.Set, false},
			member{"loss", &e.Loss, false},
			member{"accuracy", &e.Accuracy, false},
			member{"probabilities", &e.Probabilities, true},
		)
		evaluations = append(evaluations, e)
		return err
	})
	return evaluations, err
}
