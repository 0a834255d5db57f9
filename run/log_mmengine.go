package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
)

// JSON lines: one object per line. MMEngine's scalars.json and <time>.json have
// rows of training with loss and lr and rows of validation without, and a step
// that counts iterations in the first and epochs in the second; mmcv's
// .log.json has a mode ("train", "val"). Research code writes such lines with
// the sets in the names ("train_loss", "test_acc1", "epoch").

// isMMEngine recognises a complete line that is an object with a curve.
func isMMEngine(head []byte) bool {
	all := newLines(bytes.NewReader(head))
	for tried := 0; tried < 20 && all.next(); tried++ {
		values, order, _, err := parseRow(all.line)
		if err != nil {
			if tried == 0 {
				return false
			}
			continue
		}
		for _, name := range order {
			if r := roleOf(name); isCurve(r) && !math.IsInf(values[name], 0) {
				return true
			}
		}
	}
	return false
}

// parseRow reads one line: its numbers by name and its mode.
func parseRow(line []byte) (values map[string]float64, order []string, mode string, err error) {
	line = bytes.TrimSpace(line)
	if len(line) < 2 || line[0] != '{' || line[len(line)-1] != '}' {
		return nil, nil, "", errors.New("not an object")
	}
	h := historyReader{decoder: json.NewDecoder(&notFinite{source: bytes.NewReader(line)})}
	h.decoder.UseNumber()
	if _, err := h.decoder.Token(); err != nil {
		return nil, nil, "", err
	}
	values = map[string]float64{}
	if err := h.fields("", values, &order, 1); err != nil {
		return nil, nil, "", err
	}
	var modes struct {
		Mode any `json:"mode"`
	}
	if bytes.Contains(line, []byte(`"mode"`)) && json.Unmarshal(line, &modes) == nil {
		mode, _ = modes.Mode.(string)
	}
	return values, order, mode, nil
}

// readMMEngine reads the runs of such a file.
func readMMEngine(r io.Reader) ([]*loggedRun, error) {
	m := rowReader{run: newLoggedRun("")}
	m.begin()
	all := newLines(r)
	bad := 0
	for all.next() {
		values, order, mode, err := parseRow(all.line)
		if err != nil {
			bad++
			continue
		}
		m.row(values, order, mode)
	}
	if bad > 0 {
		m.run.note("%d lines are no JSON objects and are left out", bad)
	}
	return m.runs, all.err
}

// A rowReader collects rows into runs.
type rowReader struct {
	runs  []*loggedRun
	run   *loggedRun
	epoch float64 // of the last row of training, 0 if it did not say
}

func (m *rowReader) begin() {
	if len(m.runs) < mostRuns {
		m.run = m.run.another("")
		m.runs = append(m.runs, m.run)
	}
	m.epoch = 0
}

func (m *rowReader) row(values map[string]float64, order []string, mode string) {
	set := setWords[mode]
	s := sample{epoch: math.NaN(), step: -1, time: math.NaN()}
	epoch, hasEpoch := values["epoch"]
	step, hasStep := values["step"]
	if !hasStep {
		step, hasStep = values["iter"]
	}
	if mode == "" && hasStep && !m.namesSets(order) {
		set = validationSet
		if _, hasRate := values["lr"]; hasRate || hasEpoch {
			set = trainSet
		}
	}
	switch {
	case hasEpoch:
		s.epoch = epoch
	case set == validationSet && m.epoch > 0 && step <= m.epoch:
		s.epoch, hasStep = step, false
	}
	if hasStep && step >= 0 && step < math.MaxInt32 && !(set == validationSet && mode != "") {
		s.step = int64(step)
	}
	if set != validationSet && hasEpoch {
		if epoch < m.epoch {
			m.begin()
		}
		m.epoch = epoch
	}
	for _, name := range order {
		if q := roleOf(name).quantity; q != epochQuantity && q != stepQuantity && q != timeQuantity {
			s.value = values[name]
			m.run.add(name, set, s)
		}
	}
}

// namesSets reports whether the names themselves say of which set they are.
func (m *rowReader) namesSets(order []string) bool {
	for _, name := range order {
		if r := roleOf(name); isCurve(r) && r.set != anySet {
			return true
		}
	}
	return false
}
