package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"ballast/cohort"
	"ballast/stat"
)

// CovariatesFile is the file of a run with what was fitted on the covariates of
// the training subjects; see Covariates.
const CovariatesFile = "covariates.json"

// CovariatesFormat is the version of covariates.json.
const CovariatesFormat = 1

// maxWords is the largest number of different words in a column of covariates.
// Each takes a weight per class, and a word that few subjects have teaches it
// little but their outcome.
const maxWords = 12

// farAway is how many standard deviations from the mean of the training subjects
// a number has to lie to be remarked on.
const farAway = 10

// Covariates says how the clinical values of a subject become the numbers that
// the last layer of a network sees beside the features. It is fitted on the
// training subjects alone and kept with the run, in covariates.json, so that any
// other subject is encoded in the same way.
//
// A column whose training values are all numbers x becomes (x - mean) /
// deviation; a column with other values becomes an indicator (0 or 1) for each of
// its training values. A missing value becomes 0, the mean, or no word; where it
// is missing for a training subject, an indicator of that follows.
type Covariates struct {
	Format   int         `json:"format"`   // 1
	Subjects int         `json:"subjects"` // training subjects it was fitted on
	Columns  []Covariate `json:"columns"`
}

// A Covariate is one column: either numbers or words.
type Covariate struct {
	Name    string   `json:"name"`
	Number  *Scale   `json:"number,omitempty"`
	Words   []string `json:"words,omitempty"` // sorted
	Missing bool     `json:"missing"`         // some training subject has no value
}

// A Scale is of the values of a column of numbers in the training subjects. The
// deviation is the standard deviation with divisor n; 0 where all values are
// equal, and every value is then encoded as 0.
type Scale struct {
	Mean      float64 `json:"mean"`
	Deviation float64 `json:"deviation"`
}

// FitCovariates fits the encoding of columns on training subjects; nil without
// columns. Errors wrap cohort.ErrCovariate.
func FitCovariates(columns []string, subjects []cohort.Subject) (*Covariates, error) {
	if len(columns) == 0 {
		return nil, nil
	}
	c := &Covariates{Format: CovariatesFormat, Subjects: len(subjects)}
	for _, name := range columns {
		var values []string
		for _, s := range subjects {
			if value := s.Covariates[name]; value != "" {
				values = append(values, value)
			}
		}
		column, err := fitCovariate(name, values)
		if err != nil {
			return nil, err
		}
		column.Missing = len(values) < len(subjects)
		c.Columns = append(c.Columns, column)
	}
	return c, nil
}

func fitCovariate(name string, values []string) (Covariate, error) {
	column := Covariate{Name: name}
	if len(values) == 0 {
		return column, fmt.Errorf("%w: no training subject has a value in column %s; take it out of data.covariates", cohort.ErrCovariate, name)
	}
	if numbers, ok := allNumbers(values); ok {
		scale, err := scaleOf(numbers)
		if err != nil {
			return column, fmt.Errorf("%w: column %s: %w", cohort.ErrCovariate, name, err)
		}
		column.Number = &scale
		return column, nil
	}
	slices.Sort(values)
	column.Words = slices.Compact(values)
	if n := len(column.Words); n > maxWords {
		return column, fmt.Errorf("%w: column %s has %d different words (%s, ...), more than %d; group them into fewer in a column of its own, or leave it out%s",
			cohort.ErrCovariate, name, n, strings.Join(column.Words[:3], ", "), maxWords, notNumbers(column.Words))
	}
	for _, word := range column.Words {
		if strings.ContainsFunc(word, unicode.IsControl) {
			return column, fmt.Errorf("%w: column %s has a control character in %q", cohort.ErrCovariate, name, word)
		}
	}
	return column, nil
}

// allNumbers reads values as numbers and says whether all of them are.
func allNumbers(values []string) ([]float64, bool) {
	numbers := make([]float64, len(values))
	for i, value := range values {
		var ok bool
		if numbers[i], ok = number(value); !ok {
			return nil, false
		}
	}
	return numbers, true
}

// number reads a finite number.
func number(text string) (float64, bool) {
	x, err := strconv.ParseFloat(text, 64)
	return x, err == nil && !math.IsInf(x, 0) && !math.IsNaN(x)
}

// notNumbers names the word that keeps a column of numbers from being one, if
// most of its words are numbers.
func notNumbers(words []string) string {
	odd := slices.Collect(func(yield func(string) bool) {
		for _, word := range words {
			if _, ok := number(word); !ok && !yield(word) {
				return
			}
		}
	})
	if 2*len(odd) > len(words) {
		return ""
	}
	return fmt.Sprintf("; it would count as numbers but for %q (n/a says that a value is missing)", odd[0])
}

func scaleOf(numbers []float64) (Scale, error) {
	s := Scale{Mean: numbers[0]}
	if slices.Min(numbers) == slices.Max(numbers) {
		return s, nil
	}
	n, sum := float64(len(numbers)), 0.0
	for _, x := range numbers {
		sum += float64(x / n)
	}
	s.Mean, sum = sum, 0
	for _, x := range numbers {
		sum += float64(float64(x-s.Mean) * float64(x-s.Mean))
	}
	s.Deviation = math.Sqrt(sum / n)
	if math.IsInf(s.Deviation, 0) || !(s.Deviation > 0) {
		return s, fmt.Errorf("its values from %g to %g cannot be brought to one scale", slices.Min(numbers), slices.Max(numbers))
	}
	return s, nil
}

// Width is how many numbers a subject is encoded in; 0 for nil.
func (c *Covariates) Width() int { return len(c.Names()) }

// Names says what each number of Encode is: "age", "age missing", "sex Female".
func (c *Covariates) Names() (names []string) {
	if c == nil {
		return nil
	}
	for _, column := range c.Columns {
		if column.Number != nil {
			names = append(names, column.Name)
		}
		for _, word := range column.Words {
			names = append(names, column.Name+" "+word)
		}
		if column.Missing {
			names = append(names, column.Name+" missing")
		}
	}
	return names
}

// columns lists the names of the columns.
func (c *Covariates) columns() (names []string) {
	if c == nil {
		return nil
	}
	for _, column := range c.Columns {
		names = append(names, column.Name)
	}
	return names
}

// Encode returns the numbers of a subject with those values by column, in the
// order of Names; nil for nil. A column without an entry, or with an empty one, is
// missing. Other columns do not matter.
func (c *Covariates) Encode(values map[string]string) ([]float32, error) {
	if c == nil {
		return nil, nil
	}
	var numbers []float32
	for _, column := range c.Columns {
		value := values[column.Name]
		if column.Number != nil {
			x, err := column.scaled(value)
			if err != nil {
				return nil, err
			}
			numbers = append(numbers, x)
		}
		for _, word := range column.Words {
			numbers = append(numbers, indicator(value == word))
		}
		if column.Missing {
			numbers = append(numbers, indicator(value == ""))
		}
	}
	return numbers, nil
}

func indicator(is bool) float32 {
	if is {
		return 1
	}
	return 0
}

// scaled is a value on the scale on which training subjects have mean 0 and
// standard deviation 1.
func (c *Covariate) scaled(value string) (float32, error) {
	if value == "" {
		return 0, nil
	}
	x, ok := number(value)
	if !ok {
		return 0, fmt.Errorf("%w: %s is %q, but all training subjects have numbers in that column; correct it, or write n/a", cohort.ErrCovariate, c.Name, value)
	}
	if c.Number.Deviation == 0 {
		return 0, nil
	}
	scaled := float32((x - c.Number.Mean) / c.Number.Deviation)
	if math.IsInf(float64(scaled), 0) {
		return 0, fmt.Errorf("%w: %s is %q, which is too far from the training subjects' mean of %g", cohort.ErrCovariate, c.Name, value, c.Number.Mean)
	}
	return scaled, nil
}

// Odd says what is unlike the training subjects in the values of a subject, one
// line each: a word that none of them has, a number far from theirs.
func (c *Covariates) Odd(values map[string]string) (lines []string) {
	if c == nil {
		return nil
	}
	for _, column := range c.Columns {
		value := values[column.Name]
		if value == "" {
			continue
		}
		if column.Number == nil {
			if !slices.Contains(column.Words, value) {
				lines = append(lines, fmt.Sprintf("covariate %s is %q, which no training subject has (%s); it counts as none of them", column.Name, value, strings.Join(column.Words, ", ")))
			}
			continue
		}
		x, _ := number(value)
		if scale := column.Number; scale.Deviation == 0 && x != scale.Mean {
			lines = append(lines, fmt.Sprintf("covariate %s is %s, but %g for every training subject; it is not used", column.Name, value, scale.Mean))
		} else if away := math.Abs(x-scale.Mean) / scale.Deviation; away > farAway {
			lines = append(lines, fmt.Sprintf("covariate %s is %s, %.0f standard deviations from the training subjects' mean of %.3g", column.Name, value, away, scale.Mean))
		}
	}
	return lines
}

// Known refuses values of columns that the run does not use, with the nearest
// name that it does.
func (c *Covariates) Known(values map[string]string) error {
	names := c.columns()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if slices.Contains(names, name) {
			continue
		}
		if len(names) == 0 {
			return fmt.Errorf("%w: the run uses no covariates, so there is no %q", cohort.ErrCovariate, name)
		}
		near := slices.MinFunc(names, func(a, b string) int { return stat.EditDistance(a, name) - stat.EditDistance(b, name) })
		return fmt.Errorf("%w: the run has no covariate %q; did you mean %s? (covariates: %s)", cohort.ErrCovariate, name, near, strings.Join(names, ", "))
	}
	return nil
}

// JSON returns the contents of covariates.json, as docs/format/run.md describes
// them.
func (c *Covariates) JSON() []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(c); err != nil {
		panic("train: covariates cannot be written: " + err.Error()) // FitCovariates makes finite numbers only
	}
	return text.Bytes()
}

// ReadCovariates reads what JSON wrote. Unknown keys are refused.
func ReadCovariates(text []byte) (*Covariates, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	c := new(Covariates)
	if err := decoder.Decode(c); err != nil {
		return nil, fmt.Errorf("covariates: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("covariates: something follows them")
	}
	return c, c.check()
}

// check refuses what cannot have come from FitCovariates.
func (c *Covariates) check() error {
	if c.Format != CovariatesFormat {
		return fmt.Errorf("covariates of format %d; this program reads format %d", c.Format, CovariatesFormat)
	}
	if c.Subjects < 1 || len(c.Columns) == 0 {
		return fmt.Errorf("covariates of %d subjects and %d columns", c.Subjects, len(c.Columns))
	}
	seen := map[string]bool{}
	for _, column := range c.Columns {
		if column.Name == "" || seen[column.Name] {
			return fmt.Errorf("covariate %q is without a name or given twice", column.Name)
		}
		seen[column.Name] = true
		if err := column.check(); err != nil {
			return fmt.Errorf("covariate %q: %w", column.Name, err)
		}
	}
	return nil
}

func (c *Covariate) check() error {
	if (c.Number == nil) == (len(c.Words) == 0) {
		return errors.New("it needs either a number or words")
	}
	if c.Number != nil {
		if !(c.Number.Deviation >= 0) || math.IsInf(c.Number.Deviation, 0) {
			return fmt.Errorf("a standard deviation of %g", c.Number.Deviation)
		}
		return nil
	}
	if len(c.Words) > maxWords {
		return fmt.Errorf("%d words; there can be %d", len(c.Words), maxWords)
	}
	for n, word := range c.Words {
		if word == "" || n > 0 && word <= c.Words[n-1] {
			return fmt.Errorf("words %q are not in order", c.Words)
		}
	}
	return nil
}

// readRunCovariates reads what a run fitted on its covariates; nil where its plan
// names none.
func readRunCovariates(dir string, plan *Plan) (*Covariates, error) {
	if len(plan.Data.Covariates) == 0 {
		return nil, nil
	}
	path := filepath.Join(dir, CovariatesFile)
	text, err := readLimited(path, maxPrepFile)
	if err != nil {
		return nil, fmt.Errorf("the plan uses covariates: %w", err)
	}
	c, err := ReadCovariates(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if names := c.columns(); !slices.Equal(names, plan.Data.Covariates) {
		return nil, fmt.Errorf("read %s: it holds the columns %s, the plan uses %s", path, strings.Join(names, ", "), strings.Join(plan.Data.Covariates, ", "))
	}
	return c, nil
}
