package run

import (
	"bytes"
	"errors"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"
)

// Tables with one header line and numbers below: Keras CSVLogger, Lightning
// metrics.csv, Ultralytics results.csv, fastai and timm histories, ClinicaDL's
// training.tsv, and what people write with pandas.
//
// A cell that is empty or NA was not logged; nan and inf are values. A row whose
// epoch is before that of the row above, or which repeats the header, begins
// another run: CSVLogger(append=True) writes runs one below the other.

// A table is the header of such a file.
type table struct {
	separator byte
	names     []string
	epoch     int // column, -1 if there is none
	step      int
	time      int
}

const mostColumns = 4096

// isTable recognises a header with the name of a curve above a row of numbers.
func isTable(head []byte) bool {
	first := newLines(bytes.NewReader(head))
	if !first.next() {
		return false
	}
	t, ok := readHeader(string(first.line))
	if !ok || strings.ContainsAny(string(first.line), ":=") {
		return false
	}
	if !first.next() {
		return true // the training has just begun
	}
	filled, numbers := 0, 0
	for _, text := range splitCells(string(first.line), t.separator) {
		switch _, state := parseCell(text); state {
		case cellNumber:
			numbers++
			fallthrough
		case cellBad:
			filled++
		}
	}
	return numbers > 0 && 2*numbers >= filled
}

// readHeader finds the separator and the columns; false if no column is a curve.
func readHeader(line string) (table, bool) {
	if len(line) > 0 && (line[0] == '{' || line[0] == '[') {
		return table{}, false
	}
	t := table{epoch: -1, step: -1, time: -1}
	for _, separator := range []byte(",;\t| ") {
		names := splitCells(line, separator)
		if len(names) > len(t.names) {
			t.separator, t.names = separator, names
		}
	}
	if len(t.names) < 2 || len(t.names) > mostColumns {
		return table{}, false
	}
	curve := false
	for i, name := range t.names {
		switch r := roleOf(name); {
		case r.quantity == epochQuantity && t.epoch < 0:
			t.epoch = i
		case r.quantity == stepQuantity && t.step < 0:
			t.step = i
		case isCurve(r) || r.quantity == errorQuantity:
			curve = true
		}
		if _, err := strconv.ParseFloat(name, 64); err == nil || len(name) > 200 {
			return table{}, false
		}
	}
	return t, curve
}

// splitCells cuts a line at a separator outside quotes and trims the cells:
// some trainers pad them.
func splitCells(line string, separator byte) []string {
	if separator == ' ' { // columns that are lined up with blanks
		return strings.Fields(line)
	}
	var cells []string
	start, quoted := 0, false
	for i := 0; i <= len(line); i++ {
		switch {
		case i == len(line) || line[i] == separator && !quoted:
			text := strings.TrimSpace(line[start:i])
			if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
				text = strings.ReplaceAll(text[1:len(text)-1], `""`, `"`)
			}
			if cells = append(cells, text); len(cells) > mostColumns {
				return cells
			}
			start = i + 1
		case line[i] == '"':
			quoted = !quoted
		}
	}
	return cells
}

// format names the trainer that writes such a header.
func (t table) format() string {
	header := "," + strings.Join(t.names, ",") + ","
	has := func(text string) bool { return strings.Contains(header, text) }
	switch {
	case has("train/") && (has("metrics/") || has("lr/pg0")):
		return "ultralytics-csv"
	case t.epoch >= 0 && t.step >= 0 && t.separator == ',':
		return "lightning-csv"
	case has(",epoch,train_loss,valid_loss,"):
		return "fastai-csv"
	case has(",eval_loss,") && has(",train_loss,"):
		return "timm-csv"
	case has("_valid,") && t.separator == '\t':
		return "clinicadl-tsv"
	case t.epoch == 0 && has(",val_"):
		return "keras-csv"
	}
	return "csv"
}

// readTable reads the runs of a table.
func readTable(r io.Reader) ([]*loggedRun, string, error) {
	all := newLines(r)
	if !all.next() {
		return nil, "", errors.New("empty")
	}
	header := string(all.line)
	t, ok := readHeader(header)
	if !ok {
		return nil, "", errors.New("no header line with the name of a curve")
	}
	reader := tableReader{table: t, format: t.format(), run: newLoggedRun("")}
	reader.begin()
	for row := 2; all.next(); row++ {
		if string(all.line) == header {
			reader.begin()
			continue
		}
		reader.row(string(all.line), row)
	}
	reader.fillEpochs()
	if all.cut {
		reader.run.note("lines of more than %d bytes were cut", longestLine)
	}
	return reader.runs, reader.format, all.err
}

// A tableReader collects the rows of a table into runs.
type tableReader struct {
	table
	format string
	runs   []*loggedRun
	run    *loggedRun
	rows   int      // of this run
	epochs []sample // the epochs of its steps
	before struct {
		epoch     float64
		validated bool
	}
	roles []role
}

func (t *tableReader) begin() {
	t.fillEpochs()
	if len(t.runs) >= mostRuns {
		return
	}
	t.run, t.rows = t.run.another(""), 0
	t.run.stepsFrom0 = t.format == "lightning-csv"
	t.run.evaluated = t.format == "fastai-csv" || t.format == "ultralytics-csv"
	t.before.epoch, t.before.validated = math.NaN(), false
	t.runs = append(t.runs, t.run)
	if t.roles == nil {
		for _, name := range t.names {
			t.roles = append(t.roles, roleOf(name))
		}
	}
}

// fillEpochs gives values in rows without an epoch, such as the learning rates
// of Lightning's monitor, that of the next step which has one.
func (t *tableReader) fillEpochs() {
	for _, one := range t.run.series {
		for i := range one.samples {
			s := &one.samples[i]
			if !math.IsNaN(s.epoch) || s.step < 0 {
				continue
			}
			next := sort.Search(len(t.epochs), func(i int) bool { return t.epochs[i].step >= s.step })
			if next < len(t.epochs) {
				s.epoch = t.epochs[next].epoch
			}
		}
	}
	t.epochs = t.epochs[:0]
}

// row adds one row, which may begin another run.
func (t *tableReader) row(line string, number int) {
	cells := splitCells(line, t.separator)
	if len(cells) < len(t.names) {
		t.run.note("row %d is cut short: %d of %d cells", number, len(cells), len(t.names))
	}
	values := make([]float64, len(t.names))
	given := make([]bool, len(t.names))
	validated := false
	for i := range t.names {
		if i >= len(cells) || i == len(cells)-1 && len(cells) < len(t.names) {
			break // the last cell of a short row may itself be short
		}
		value, state := parseCell(cells[i])
		if state == cellBad && t.roles[i].quantity != otherQuantity && t.roles[i].quantity != timeQuantity {
			t.run.note("row %d: %s of %s is not a number and is left out", number, abbreviate(strconv.Quote(cells[i])), t.names[i])
		}
		values[i], given[i] = value, state == cellNumber
		validated = validated || given[i] && isValidation(t.roles[i])
	}
	t.split(values, given, validated)
	t.addRow(values, given)
}

// split begins another run where the epoch falls, or stays in a table that
// has one row per epoch.
func (t *tableReader) split(values []float64, given []bool, validated bool) {
	epoch := math.NaN()
	if t.epoch >= 0 && given[t.epoch] {
		epoch = values[t.epoch]
	}
	falls := epoch < t.before.epoch
	again := epoch == t.before.epoch && epoch <= 1 && t.step < 0 && validated && t.before.validated
	if falls || again {
		t.begin()
	}
	if !math.IsNaN(epoch) {
		t.before.epoch, t.before.validated = epoch, validated
	}
}

func (t *tableReader) addRow(values []float64, given []bool) {
	s := sample{epoch: math.NaN(), step: -1, time: math.NaN()}
	if t.epoch >= 0 && given[t.epoch] {
		s.epoch = values[t.epoch]
	} else if t.epoch < 0 && t.step < 0 {
		s.epoch = float64(t.rows + 1)
		t.run.note("the table has no column of epochs: rows are counted")
	}
	if t.step >= 0 && given[t.step] && values[t.step] >= 0 && values[t.step] < math.MaxInt32 {
		s.step = int64(values[t.step])
	}
	t.rows++
	if n := len(t.epochs); s.step >= 0 && !math.IsNaN(s.epoch) && (n == 0 || t.epochs[n-1].step < s.step) && n < mostSamples {
		t.epochs = append(t.epochs, s)
	}
	for i, name := range t.names {
		if given[i] && i != t.epoch && i != t.step {
			s.value = values[i]
			t.run.add(name, anySet, s)
		}
	}
}

type cellState byte

const (
	cellEmpty cellState = iota
	cellNumber
	cellBad
)

// parseCell reads a cell. Keras writes NA for what an epoch lacks, pandas writes
// nothing; a framework that names a device writes tensor(0.5).
func parseCell(text string) (float64, cellState) {
	if text == "" || text == "NA" || text == "N/A" || text == "None" || text == "null" || text == "-" {
		return math.NaN(), cellEmpty
	}
	if value, err := strconv.ParseFloat(text, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return value, cellNumber
	}
	if inside, found := strings.CutPrefix(text, "tensor("); found {
		inside, _, _ = strings.Cut(inside, ",")
		if value, err := strconv.ParseFloat(strings.TrimRight(inside, ")"), 64); err == nil {
			return value, cellNumber
		}
	}
	if share, found := strings.CutSuffix(text, "%"); found {
		if value, err := strconv.ParseFloat(strings.TrimSpace(share), 64); err == nil {
			return value, cellNumber
		}
	}
	return math.NaN(), cellBad
}
