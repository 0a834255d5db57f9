package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// History JSON: Keras' History.history and what people write in its manner. An
// object of lists, one per name, all of one length; the same one or two levels
// down ("history", "fold_0", ...), which makes runs; or a list of objects, one
// per epoch.

// isHistory recognises a list of numbers under the name of a curve, or objects
// with such a name in a list.
func isHistory(head []byte) bool {
	start := bytes.TrimLeft(head, " \t\r\n\xEF\xBB\xBF")
	if len(start) == 0 || start[0] != '{' && start[0] != '[' {
		return false
	}
	runs, _ := readHistory(bytes.NewReader(start))
	for _, one := range runs {
		if one.pick(isCurve) != nil {
			return true
		}
	}
	return false
}

// readHistory reads such a file. A file that ends early gives what was read and
// an error that wraps io.ErrUnexpectedEOF.
func readHistory(r io.Reader) ([]*loggedRun, error) {
	h := historyReader{decoder: json.NewDecoder(skipMark(&notFinite{source: r}))}
	h.decoder.UseNumber()
	err := h.value(nil, 0)
	var runs []*loggedRun
	for _, one := range h.runs {
		if one.count > 0 {
			one.name = trimHistory(one.name)
			runs = append(runs, one)
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return runs, err
}

// trimHistory removes from a run's name what names the format, not the run.
func trimHistory(name string) string {
	if name == "history" {
		return ""
	}
	return name
}

const (
	deepest   = 6 // levels of objects and lists that are read
	nameLimit = 200
)

// A historyReader walks through JSON of any shape and keeps the numbers that
// stand under names.
type historyReader struct {
	decoder *json.Decoder
	runs    []*loggedRun
	byPath  map[string]*loggedRun
	lists   int // seen so far
}

// value reads one value; path holds the names that lead to it.
func (h *historyReader) value(path []string, depth int) error {
	token, err := h.decoder.Token()
	if err != nil {
		return err
	}
	if depth > 64 {
		return errors.New("nested more than 64 deep")
	}
	switch token {
	case json.Delim('{'):
		return h.object(path, depth)
	case json.Delim('['):
		return h.list(path, depth)
	}
	return nil
}

func (h *historyReader) object(path []string, depth int) error {
	lists, singles := 0, 0
	for h.decoder.More() {
		key, err := h.decoder.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		before := h.lists
		if err := h.value(append(path[:len(path):len(path)], shorten(name)), depth+1); err != nil {
			return err
		}
		if h.lists == before {
			singles++
		} else {
			lists++
		}
	}
	if singles > lists && len(path) <= deepest {
		h.forget(path)
	}
	_, err := h.decoder.Token()
	return err
}

// forget drops the lists of an object that is no history: most of what it holds
// is no list.
func (h *historyReader) forget(path []string) {
	name := strings.Join(path, "/")
	if one := h.byPath[name]; one != nil {
		*one = *one.another(name)
	}
}

// list reads a list: of numbers, the values of a name; of objects, epochs.
func (h *historyReader) list(path []string, depth int) error {
	h.lists++
	for index := 0; h.decoder.More(); index++ {
		token, err := h.decoder.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'):
			err = h.epoch(path, index, depth+1)
		case json.Delim('['):
			err = h.skip(depth + 1)
		default:
			if value, ok := numberOf(token); ok && len(path) > 0 && len(path) <= deepest {
				above, set := aboveSet(path[:len(path)-1])
				h.run(above).add(path[len(path)-1], set, sample{epoch: float64(index + 1), step: -1, time: math.NaN(), value: value})
			}
		}
		if err != nil {
			return err
		}
	}
	_, err := h.decoder.Token()
	return err
}

// aboveSet cuts a set that ends a path, as in {"train": {"loss": [...]}, "val": ...}.
func aboveSet(path []string) ([]string, loggedSet) {
	if n := len(path); n > 0 {
		if set := setWords[strings.ToLower(path[n-1])]; set != anySet {
			return path[:n-1], set
		}
	}
	return path, anySet
}

// epoch reads an object of a list: the values of one epoch, which may say its
// number and may hold objects for training and validation.
func (h *historyReader) epoch(path []string, index, depth int) error {
	s := sample{epoch: float64(index + 1), step: -1, time: math.NaN()}
	values := map[string]float64{}
	var order []string
	if err := h.fields("", values, &order, depth); err != nil {
		return err
	}
	path, set := aboveSet(path)
	run := h.run(path)
	for _, name := range order {
		switch q := roleOf(name).quantity; {
		case q == epochQuantity:
			s.epoch = values[name]
		case q == stepQuantity && values[name] >= 0 && values[name] < math.MaxInt32:
			s.step = int64(values[name])
		}
	}
	if set == anySet {
		if last := run.lastEpoch; !math.IsNaN(last) && s.epoch < last {
			run = h.another(path)
		}
		run.lastEpoch = s.epoch
	}
	for _, name := range order {
		if q := roleOf(name).quantity; q != epochQuantity && q != stepQuantity {
			s.value = values[name]
			run.add(name, set, s)
		}
	}
	return nil
}

// fields reads the numbers of an object and of the objects in it, with the
// names joined by "/".
func (h *historyReader) fields(prefix string, values map[string]float64, order *[]string, depth int) error {
	if depth > deepest {
		return h.skip(depth)
	}
	for h.decoder.More() {
		key, err := h.decoder.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		name = prefix + shorten(name)
		token, err := h.decoder.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'):
			err = h.fields(name+"/", values, order, depth+1)
		case json.Delim('['):
			err = h.skip(depth + 1)
		default:
			if value, ok := numberOf(token); ok && len(*order) < mostColumns {
				values[name] = value
				*order = append(*order, name)
			}
		}
		if err != nil {
			return err
		}
	}
	_, err := h.decoder.Token()
	return err
}

// skip reads to the end of an object or list that was begun.
func (h *historyReader) skip(depth int) error {
	for open := 1; open > 0; {
		token, err := h.decoder.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if open++; open+depth > 1000 {
				return errors.New("nested more than 1000 deep")
			}
		case json.Delim('}'), json.Delim(']'):
			open--
		}
	}
	return nil
}

// run is the run of a path of names.
func (h *historyReader) run(path []string) *loggedRun {
	name := strings.Join(path, "/")
	if one, known := h.byPath[name]; known {
		return one
	}
	one := newLoggedRun(name)
	if len(h.runs) > 0 {
		one = h.runs[0].another(name)
	}
	if h.byPath == nil {
		h.byPath = map[string]*loggedRun{}
	}
	if len(h.runs) < mostRuns {
		h.byPath[name] = one
		h.runs = append(h.runs, one)
	}
	return one
}

// another begins another run under the same path.
func (h *historyReader) another(path []string) *loggedRun {
	name := h.run(path).name
	delete(h.byPath, name)
	return h.run(path)
}

func shorten(name string) string {
	if len(name) > nameLimit {
		return name[:nameLimit]
	}
	return name
}

// numberOf reads a JSON number, or what stands for one that JSON cannot write:
// null and the strings "NaN", "Infinity", "inf".
func numberOf(token json.Token) (float64, bool) {
	switch t := token.(type) {
	case json.Number:
		value, err := strconv.ParseFloat(string(t), 64)
		return value, err == nil || errors.Is(err, strconv.ErrRange)
	case string:
		if len(t) > 32 {
			return 0, false
		}
		value, err := strconv.ParseFloat(t, 64)
		return value, err == nil
	case nil:
		return 0, false
	}
	return 0, false
}

// notFinite turns the bare words NaN, Infinity and -Infinity that Python's json
// writes, outside strings, into strings.
type notFinite struct {
	source  io.Reader
	pending []byte // read, not yet given out
	raw     []byte // read, not yet looked at
	quoted  bool
	escaped bool
	end     error
}

func (n *notFinite) Read(p []byte) (int, error) {
	for len(n.pending) == 0 {
		if n.end != nil && len(n.raw) == 0 {
			return 0, n.end
		}
		n.refill()
	}
	count := copy(p, n.pending)
	n.pending = n.pending[count:]
	return count, nil
}

func (n *notFinite) refill() {
	const longest = len("-Infinity")
	if n.end == nil {
		var block [32 << 10]byte
		count, err := n.source.Read(block[:])
		n.raw = append(n.raw, block[:count]...)
		n.end = err
	}
	n.pending = n.pending[:0]
	i := 0
	for i < len(n.raw) && (n.end != nil || i+longest <= len(n.raw)) {
		i += n.step(n.raw[i:])
	}
	n.raw = append(n.raw[:0], n.raw[i:]...)
}

// step copies one byte, or one of the words in quotes.
func (n *notFinite) step(rest []byte) int {
	c := rest[0]
	if !n.quoted {
		for _, word := range [...]string{"NaN", "-Infinity", "Infinity"} {
			if c == word[0] && bytes.HasPrefix(rest, []byte(word)) {
				n.pending = fmt.Appendf(n.pending, "%q", word)
				return len(word)
			}
		}
	}
	switch {
	case n.escaped:
		n.escaped = false
	case n.quoted && c == '\\':
		n.escaped = true
	case c == '"':
		n.quoted = !n.quoted
	}
	n.pending = append(n.pending, c)
	return 1
}

// skipMark drops a byte order mark.
func skipMark(r io.Reader) io.Reader {
	var start [3]byte
	count, err := io.ReadFull(r, start[:])
	if err == nil && string(start[:]) == "\xEF\xBB\xBF" {
		return r
	}
	return io.MultiReader(bytes.NewReader(start[:count]), r)
}
