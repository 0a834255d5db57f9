package cohort

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxTable is the largest table that is read, in bytes.
const maxTable = 64 << 20

// A table is the text of a TSV or CSV file.
type table struct {
	path    string
	columns []string
	rows    [][]string // each as long as columns
	lines   []int      // line of the file on which each row starts
}

// readTable reads a .tsv file (fields divided by tabs) or a .csv file (divided
// by commas, semicolons or tabs, whichever its first line holds most of).
func readTable(path string) (*table, error) {
	ending, isImage := imageEnding(path)
	if isImage {
		return nil, fmt.Errorf("%w: a %s file is an image; give the table that lists the images, or their folder", ErrNoCohort, ending)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, errors.Unwrap(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a plain file", ErrTable, path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, errors.Unwrap(err))
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxTable+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	t, err := parseTable(text, strings.EqualFold(filepath.Ext(path), ".tsv"))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	t.path = path
	return t, nil
}

func parseTable(text []byte, tabs bool) (*table, error) {
	if len(text) > maxTable {
		return nil, fmt.Errorf("%w: more than %d MiB is no table of subjects", ErrTable, maxTable>>20)
	}
	if bytes.HasPrefix(text, []byte{0xff, 0xfe}) || bytes.HasPrefix(text, []byte{0xfe, 0xff}) {
		return nil, fmt.Errorf("%w: UTF-16 text; save the table as UTF-8", ErrTable)
	}
	if bytes.HasPrefix(text, []byte("PK\x03\x04")) || bytes.HasPrefix(text, []byte{0xd0, 0xcf, 0x11, 0xe0}) {
		return nil, fmt.Errorf("%w: it is a spreadsheet; save it as CSV", ErrTable)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if bytes.IndexByte(text, '\n') < 0 { // lines end as on a Macintosh of old
		text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	}
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, fmt.Errorf("%w: not UTF-8 text; save the table as UTF-8", ErrTable)
	}
	var rows [][]string
	var lines []int
	var err error
	if tabs {
		rows, lines = splitTabs(string(text))
	} else if rows, lines, err = splitCSV(text); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrTable)
	}
	if tabs && len(rows[0]) == 1 && strings.ContainsAny(rows[0][0], ",;") {
		return nil, fmt.Errorf("%w: the header has no tab, which divides the fields of a .tsv file; name it .csv", ErrTable)
	}
	return checkTable(rows, lines)
}

// checkTable tells header from rows and holds them against each other.
func checkTable(rows [][]string, lines []int) (*table, error) {
	t := &table{columns: rows[0], rows: rows[1:], lines: lines[1:]}
	seen := map[string]bool{}
	for n, name := range t.columns {
		name = strings.Map(spaceForControl, name) // an error that lists the columns is one line
		if seen[name] && name != "" {
			return nil, fmt.Errorf("%w: two columns are named %q", ErrTable, name)
		}
		seen[name] = true
		t.columns[n] = name
	}
	for n, row := range t.rows {
		if len(row) != len(t.columns) {
			return nil, fmt.Errorf("%w: line %d has %d fields, the header has %d", ErrTable, t.lines[n], len(row), len(t.columns))
		}
	}
	if len(t.rows) == 0 {
		return nil, fmt.Errorf("%w: no row below the header", ErrTable)
	}
	return t, nil
}

// splitTabs reads TSV, where tabs and line ends always divide. A field in
// double quotes, as some programs write it, loses them.
func splitTabs(text string) (rows [][]string, lines []int) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		fields := strings.Split(line, "\t")
		for n, field := range fields {
			field = strings.TrimSpace(field)
			if len(field) >= 2 && field[0] == '"' && field[len(field)-1] == '"' {
				field = strings.TrimSpace(strings.ReplaceAll(field[1:len(field)-1], `""`, `"`))
			}
			fields[n] = field
		}
		rows, lines = append(rows, fields), append(lines, number)
	}
	return rows, lines
}

// splitCSV reads CSV by RFC 4180.
func splitCSV(text []byte) (rows [][]string, lines []int, err error) {
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord = -1
	r.Comma = separatorOf(text)
	for {
		fields, err := r.Read()
		if err == io.EOF {
			return rows, lines, nil
		}
		if err != nil {
			var parse *csv.ParseError
			if errors.As(err, &parse) {
				return nil, nil, fmt.Errorf("%w: line %d: %w", ErrTable, parse.Line, parse.Err)
			}
			return nil, nil, err
		}
		line, _ := r.FieldPos(0)
		empty := true
		for n, field := range fields {
			fields[n] = strings.TrimSpace(field)
			empty = empty && fields[n] == ""
		}
		if !empty {
			rows, lines = append(rows, fields), append(lines, line)
		}
	}
}

// separatorOf returns the separator that the header line holds most of,
// outside quotes.
func separatorOf(text []byte) rune {
	counts, quoted := map[byte]int{}, false
	for _, b := range bytes.TrimLeft(text, "\r\n") {
		if b == '"' {
			quoted = !quoted
		}
		if b == '\n' && !quoted {
			break
		}
		if !quoted {
			counts[b]++
		}
	}
	best := byte(',')
	for _, b := range []byte{';', '\t'} {
		if counts[b] > counts[best] {
			best = b
		}
	}
	return rune(best)
}

// value returns the field of a row in the named column, empty when the column
// is not used or the value is missing: n/a, NA, NaN or nothing, in any case.
func (t *table) value(row int, column string) string {
	if column == "" {
		return ""
	}
	for n, name := range t.columns {
		if name == column {
			return nonMissing(t.rows[row][n])
		}
	}
	return ""
}

// values returns the fields of a row that are not missing, by column.
func (t *table) values(row int, columns []string) map[string]string {
	values := map[string]string{}
	for n, name := range t.columns {
		if value := nonMissing(t.rows[row][n]); value != "" && slices.Contains(columns, name) {
			values[name] = value
		}
	}
	return values
}

func nonMissing(field string) string {
	switch strings.ToLower(field) {
	case "n/a", "na", "nan":
		return ""
	}
	return field
}

// spaceForControl puts a space in the place of line breaks and the like.
func spaceForControl(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}
