package cohort

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// A datalist is a MONAI datalist as a table: {"training": [{"image": "a.nii.gz",
// "label": 1, "fold": 0}, ...], "validation": [...], "test": [...]}. A key of the
// items is a column; a list of images is one column for each.
type datalist struct {
	table
	images []string // columns with images
	setOf  []string // of each row: train, validation or test

}

// openDatalist reads a cohort from a MONAI datalist. A label that names a file is
// the mask, and the class needs another key.
func openDatalist(path string, o Options, lenient bool) (*Cohort, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is not a plain file", ErrTable)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxTable+1))
	if err != nil {
		return nil, err
	}
	list, err := parseDatalist(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	list.path = path
	c := &Cohort{Dir: filepath.Dir(path), Table: path}
	return c, c.fromDatalist(list, o, lenient)
}

func (c *Cohort) fromDatalist(list *datalist, o Options, lenient bool) (err error) {
	if len(o.Path) == 0 && !list.areColumns(o.Sequences) {
		o.Path = list.images
	}
	if len(o.Path)+len(o.Sequences) == 0 {
		return fmt.Errorf("%w: no item has a key image (keys: %s)", ErrColumn, list.list())
	}
	if o.Mask == "" && o.Label != "" && plain(o.Label) != "label" && list.masksInLabel() {
		o.Mask = "label"
	}
	if (o.Label == "" || plain(o.Label) == "label") && list.masksInLabel() {
		return fmt.Errorf("%w: the labels name files (a list for segmentation); say which key holds the class with --label KEY (keys: %s)", ErrColumn, list.list())
	}
	if o.Set, err = list.addSets(o.Set); err != nil {
		return err
	}
	if o.Subject == subjectColumn && !slices.Contains(list.columns, subjectColumn) || o.Subject == "" && len(slices.Concat(list.candidates(subjectNames)...)) == 0 {
		o.Subject = subjectColumn
		list.addSubjects(append(o.Path, o.Sequences...)[0])
		c.Notes = append(c.Notes, "subjects are told by the images' names: sub-XX, else each image is one; give the items a key subject when patients have several images")
	}
	return c.fromTable(&list.table, o, lenient, false)
}

// masksInLabel tells whether the key label names image files.
func (d *datalist) masksInLabel() bool {
	for row := range d.rows {
		if _, isImage := imageEnding(d.value(row, "label")); isImage {
			return true
		}
	}
	return false
}

// setColumn holds the section of each item, subjectColumn what its image's name
// says, unless the items have such keys of their own.
const (
	setColumn     = "set"
	subjectColumn = "subject"
)

// addSets puts the sections into a column, unless the items name their sets by a
// key of their own, and returns the column to use.
func (d *datalist) addSets(asked string) (string, error) {
	if asked == "" || slices.Contains(d.columns, asked) {
		if column, err := d.findSet(asked); column != "" || err != nil {
			return column, err
		}
	}
	name := setColumn
	for slices.Contains(d.columns, name) {
		name = "datalist " + name
	}
	if asked != "" && asked != name {
		return d.named(asked, "set data.set=")
	}
	d.columns = append(slices.Clip(d.columns), name)
	for n := range d.rows {
		d.rows[n] = append(d.rows[n], d.setOf[n])
	}
	return name, nil
}

// addSubjects names subjects by the image: sub-XX where its path has it, else
// the whole path, so that no two patients are taken for one.
func (d *datalist) addSubjects(image string) {
	d.columns = append(slices.Clip(d.columns), subjectColumn)
	for n := range d.rows {
		path := filepath.ToSlash(d.value(n, image))
		ending, _ := imageEnding(path)
		subject := strings.TrimSuffix(path, ending)
		for part := range strings.SplitSeq(path, "/") {
			if strings.HasPrefix(part, "sub-") {
				subject = subjectOf(strings.TrimSuffix(part, ending))
				break
			}
		}
		d.rows[n] = append(d.rows[n], subject)
	}
}

// parseDatalist reads the sections of a datalist as rows of one table.
func parseDatalist(text []byte) (*datalist, error) {
	if len(text) > maxTable {
		return nil, fmt.Errorf("%w: more than %d MiB is no list of subjects", ErrTable, maxTable>>20)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: not UTF-8 text", ErrTable)
	}
	p := listParser{text: text, decoder: json.NewDecoder(bytes.NewReader(text))}
	p.decoder.UseNumber()
	if err := p.parse(); err != nil {
		return nil, err
	}
	if len(p.items) == 0 {
		return nil, fmt.Errorf("%w: no datalist: it has no list called training, validation or test", ErrNoCohort)
	}
	return p.table(), nil
}

// A listItem is one image of a datalist.
type listItem struct {
	line   int
	set    string
	values map[string]string
	images []string
}

type listParser struct {
	text    []byte
	decoder *json.Decoder
	items   []listItem
	labels  map[string]string // names of numbered classes
	offset  int64             // up to which lines are counted
	line    int               // line feeds before offset
}

// parse walks through the object by tokens, which keeps the lines of items.
func (p *listParser) parse() error {
	if token, err := p.decoder.Token(); err != nil {
		return p.damaged(err)
	} else if token != json.Delim('{') {
		return fmt.Errorf("%w: no datalist: it is not an object with lists called training, validation or test", ErrNoCohort)
	}
	for p.decoder.More() {
		token, err := p.decoder.Token()
		if err != nil {
			return p.damaged(err)
		}
		name, _ := token.(string)
		set := sets[strings.ToLower(name)]
		if set == "" {
			var other json.RawMessage
			if err := p.decoder.Decode(&other); err != nil {
				return p.damaged(err)
			}
			if name == "labels" && json.Unmarshal(other, &p.labels) != nil {
				p.labels = nil // it says something else
			}
			continue
		}
		if token, err = p.decoder.Token(); err != nil {
			return p.damaged(err)
		} else if token != json.Delim('[') {
			return fmt.Errorf("%w: line %d: %s is not a list", ErrTable, p.here(), name)
		}
		for p.decoder.More() {
			if err := p.item(set); err != nil {
				return err
			}
		}
		if _, err := p.decoder.Token(); err != nil {
			return p.damaged(err)
		}
	}
	if _, err := p.decoder.Token(); err != nil {
		return p.damaged(err)
	}
	return nil
}

func (p *listParser) damaged(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: line %d: the JSON text ends early", ErrTable, p.here())
	}
	line := p.here()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line = 1 + bytes.Count(p.text[:min(max(0, int(syntax.Offset)), len(p.text))], []byte("\n"))
	}
	return fmt.Errorf("%w: line %d: %s", ErrTable, line, strings.ReplaceAll(err.Error(), "\n", " "))
}

// here is the line that has been reached.
func (p *listParser) here() int {
	if offset := p.decoder.InputOffset(); offset > p.offset {
		p.line += bytes.Count(p.text[p.offset:offset], []byte("\n"))
		p.offset = offset
	}
	return p.line + 1
}

// item reads one image: an object, or the name of a file alone.
func (p *listParser) item(set string) error {
	var value any
	if err := p.decoder.Decode(&value); err != nil {
		return p.damaged(err)
	}
	item := listItem{line: p.here(), set: set, values: map[string]string{}}
	switch v := value.(type) {
	case string:
		item.images = []string{v}
	case map[string]any:
		for key, value := range v {
			if err := item.add(key, value); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("%w: line %d: an item is neither an object nor the name of a file", ErrTable, item.line)
	}
	p.items = append(p.items, item)
	return nil
}

// maxSequences is the most images that one item may list.
const maxSequences = 64

// add takes one key of an item. Of lists only that of images is used; objects
// and null are not.
func (item *listItem) add(key string, value any) error {
	if plain(key) == "image" {
		list, several := value.([]any)
		if !several {
			list = []any{value}
		}
		for _, element := range list {
			path, ok := element.(string)
			if !ok || len(list) > maxSequences {
				return fmt.Errorf("%w: line %d: image is neither the name of a file nor a list of at most %d", ErrTable, item.line, maxSequences)
			}
			item.images = append(item.images, path)
		}
		return nil
	}
	switch value.(type) {
	case string, json.Number, bool:
		item.values[key] = plainText(value)
	case []any:
		if plain(key) == "label" {
			return fmt.Errorf("%w: line %d: label is a list; ballast predicts one class", ErrTable, item.line)
		}
	}
	return nil
}

// plainText writes a value as a table has it.
func plainText(value any) string {
	if text, ok := value.(string); ok {
		return strings.TrimSpace(text)
	}
	return plainFact(value)
}

// nameLabels replaces numbered labels by their names in the list's "labels",
// provided that it names all of them, each by its own.
func (p *listParser) nameLabels() {
	names := map[string]bool{}
	for _, name := range p.labels {
		names[name] = nonMissing(strings.TrimSpace(name)) != ""
	}
	unnamed := func(item listItem) bool {
		label, ok := item.values["label"]
		return ok && !names[p.labels[label]]
	}
	if len(names) < len(p.labels) || slices.ContainsFunc(p.items, unnamed) {
		return
	}
	for _, item := range p.items {
		if label, ok := item.values["label"]; ok {
			item.values["label"] = strings.TrimSpace(p.labels[label])
		}
	}
}

// table lays the items out as rows. Columns: image (image 2, ...), then the
// other keys by name.
func (p *listParser) table() *datalist {
	p.nameLabels()
	d := &datalist{}
	most, keys := 0, map[string]bool{}
	for _, item := range p.items {
		most = max(most, len(item.images))
		for key := range item.values {
			keys[key] = true
		}
	}
	for n := range most {
		name := "image"
		if n > 0 {
			name = fmt.Sprintf("image %d", n+1)
		}
		for keys[name] {
			name += " of the list"
		}
		d.images = append(d.images, name)
	}
	d.columns = append(slices.Clone(d.images), slices.Sorted(maps.Keys(keys))...)
	for _, item := range p.items {
		fields := make([]string, len(d.columns))
		for n, column := range d.columns {
			if n < most {
				if n < len(item.images) {
					fields[n] = item.images[n]
				}
				continue
			}
			fields[n] = item.values[column]
		}
		d.rows, d.lines, d.setOf = append(d.rows, fields), append(d.lines, item.line), append(d.setOf, item.set)
	}
	return d
}
