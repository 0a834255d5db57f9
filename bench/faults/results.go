package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"ballast/diagnosis"
)

// resultsFile holds what was said of every run whose results are published, so that
// every number of the page, of the doc comments and of ballast explain follows from
// the repository alone.
const resultsFile = "bench/faults/results.csv"

var columns = []string{"cohort", "fault", "planted", "network", "validation", "seed", "judged", "fresh_accuracy", "jitter", "true", "record_alone", "with_experiments"}

// letters are the verdicts in the file.
var letters = map[string]string{
	diagnosis.Confirmed: "c", diagnosis.Likely: "l", diagnosis.Possible: "p", diagnosis.CannotTell: "t", diagnosis.RuledOut: "r",
}

// writeResults stores the outcomes in the order of their names.
func writeResults(file string, outcomes []outcome) error {
	slices.SortStableFunc(outcomes, func(a, b outcome) int { return slices.Compare(a.key(), b.key()) })
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	head := slices.Clone(columns)
	for _, tool := range rivals {
		head = append(head, tool.name)
	}
	w.Write(head)
	for i := range outcomes {
		w.Write(outcomes[i].row())
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// key is what outcomes are sorted by.
func (o *outcome) key() []string {
	return []string{o.cohort, o.fault, o.network, fmt.Sprintf("%06d", o.validation), fmt.Sprintf("%020d", o.seed)}
}

// row is the outcome as a line of the file.
func (o *outcome) row() []string {
	row := []string{
		o.cohort, o.fault, o.planted, o.network, strconv.Itoa(o.validation), strconv.FormatUint(o.seed, 10), strconv.FormatBool(o.judged),
		strconv.FormatFloat(o.accuracy, 'f', 3, 64), strconv.FormatFloat(o.points, 'f', 2, 64),
		strings.Join(o.truth, " "), o.write(o.alone), o.write(o.probed),
	}
	for i, fired := range o.fired {
		cell := strconv.Itoa(o.alarms[i])
		for _, rule := range fired {
			cell += " " + strconv.Itoa(rule)
		}
		row = append(row, cell)
	}
	return row
}

// write lists the claims that are possible or surer, and that the planted cause is ruled
// out; of all others nothing is counted.
func (o *outcome) write(claims []claim) string {
	if claims == nil {
		return "-"
	}
	var words []string
	for _, c := range claims {
		if c.leans() || c.verdict == diagnosis.RuledOut && c.id == o.planted {
			words = append(words, letters[c.verdict]+":"+c.id)
		}
	}
	return strings.Join(words, " ")
}

// readResults reads what writeResults wrote.
func readResults(file string) ([]outcome, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || len(rows[0]) != len(columns)+len(rivals) {
		return nil, fmt.Errorf("%s: no table of %d columns; the step judge writes it", file, len(columns)+len(rivals))
	}
	var all []outcome
	for line, row := range rows[1:] {
		o, err := readRow(row)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", file, line+2, err)
		}
		all = append(all, *o)
	}
	return all, nil
}

func readRow(row []string) (*outcome, error) {
	o := &outcome{cohort: row[0], fault: row[1], planted: row[2], network: row[3], truth: strings.Fields(row[9])}
	var err error
	if o.validation, err = strconv.Atoi(row[4]); err != nil {
		return nil, err
	}
	if o.seed, err = strconv.ParseUint(row[5], 10, 64); err != nil {
		return nil, err
	}
	if o.judged, err = strconv.ParseBool(row[6]); err != nil {
		return nil, err
	}
	if o.accuracy, err = strconv.ParseFloat(row[7], 64); err != nil {
		return nil, err
	}
	if o.points, err = strconv.ParseFloat(row[8], 64); err != nil {
		return nil, err
	}
	if o.alone, err = readClaims(row[10]); err != nil {
		return nil, err
	}
	if o.probed, err = readClaims(row[11]); err != nil {
		return nil, err
	}
	for i, cell := range row[len(columns):] {
		var numbers []int
		for _, word := range strings.Fields(cell) {
			number, err := strconv.Atoi(word)
			if err != nil || len(numbers) > 0 && (number < 0 || number >= len(rivals[i].rules)) {
				return nil, fmt.Errorf("%q is no alarms of %s", cell, rivals[i].name)
			}
			numbers = append(numbers, number)
		}
		if len(numbers) == 0 {
			return nil, fmt.Errorf("no number of alarms of %s", rivals[i].name)
		}
		o.alarms, o.fired = append(o.alarms, numbers[0]), append(o.fired, numbers[1:])
	}
	return o, nil
}

func readClaims(cell string) ([]claim, error) {
	if cell == "-" {
		return nil, nil
	}
	claims := []claim{}
	for _, word := range strings.Fields(cell) {
		letter, id, _ := strings.Cut(word, ":")
		found := ""
		for v, l := range letters {
			if l == letter {
				found = v
			}
		}
		if found == "" || id == "" {
			return nil, fmt.Errorf("%q is no claim", word)
		}
		claims = append(claims, claim{id, found})
	}
	return claims, nil
}
