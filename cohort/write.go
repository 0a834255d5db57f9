package cohort

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// An Assignment is where a subject went: its set, its fold, or both.
type Assignment struct {
	Set  string // "train", "validation", "test", or empty
	Fold string // "0", "1", ..., or empty
}

// Assign returns the set of each subject.
func (c *Cohort) Assign(s Split) []Assignment {
	all := make([]Assignment, len(c.Subjects))
	for set, members := range [3][]int{s.Train, s.Validation, s.Test} {
		for _, n := range members {
			all[n].Set = setOrder[set]
		}
	}
	return all
}

// AssignFolds returns the fold in which each subject is validated on, counted
// from 0, and the set "test" of those who are in none.
func (c *Cohort) AssignFolds(folds []Split) []Assignment {
	all := make([]Assignment, len(c.Subjects))
	for k, f := range folds {
		for _, n := range f.Validation {
			all[n].Fold = strconv.Itoa(k)
		}
		for _, n := range f.Test {
			all[n].Set = "test"
		}
	}
	return all
}

// WriteTable writes a row per image with its subject's set and fold, which Open
// reads back to the same subjects and sets. Paths below dir, the folder that the
// table is meant for, become relative to it, others absolute. Covariates follow;
// one whose column Open would take for something else is called original_NAME.
func (c *Cohort) WriteTable(w io.Writer, dir string, assigned []Assignment, tabs bool) error {
	paths := c.pathColumns()
	covariates := c.covariateNames()
	header := append([]string{"participant_id", "label"}, paths...)
	optional := c.optionalColumns(assigned)
	for _, column := range optional {
		header = append(header, column.name)
	}
	for _, name := range covariates {
		header = append(header, columnName(name, header))
	}
	rows := [][]string{header}
	for n, s := range c.Subjects {
		for _, image := range s.Images {
			row := []string{s.ID, c.Classes[s.Class]}
			for _, file := range append([]string{image.Path}, image.Also...) {
				row = append(row, pathFrom(dir, file))
			}
			for _, column := range optional {
				row = append(row, column.value(dir, s, image, assigned[n]))
			}
			for _, name := range covariates {
				row = append(row, s.Covariates[name])
			}
			for field, text := range row {
				if text == "" {
					row[field] = "n/a"
				}
			}
			rows = append(rows, row)
		}
	}
	return writeRows(w, rows, tabs)
}

func writeRows(w io.Writer, rows [][]string, tabs bool) error {
	if !tabs {
		out := csv.NewWriter(w)
		if err := out.WriteAll(rows); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
		return nil
	}
	clean := strings.NewReplacer("\t", " ", "\n", " ", "\r", " ")
	for _, row := range rows {
		for n := range row {
			row[n] = clean.Replace(row[n])
		}
		if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	return nil
}

// An optionalColumn is written when a subject has a value for it.
type optionalColumn struct {
	name  string
	value func(dir string, s Subject, image Image, a Assignment) string
}

func (c *Cohort) optionalColumns(assigned []Assignment) (used []optionalColumn) {
	for _, column := range []optionalColumn{
		{"mask_path", func(dir string, _ Subject, image Image, _ Assignment) string {
			if image.Mask == "" {
				return ""
			}
			return pathFrom(dir, image.Mask)
		}},
		{"volume", func(_ string, _ Subject, image Image, _ Assignment) string {
			if image.Volume == Unchosen {
				return ""
			}
			return strconv.Itoa(image.Volume)
		}},
		{"session", func(_ string, _ Subject, image Image, _ Assignment) string { return image.Session }},
		{"site", func(_ string, s Subject, _ Image, _ Assignment) string { return s.Site }},
		{"set", func(_ string, _ Subject, _ Image, a Assignment) string { return a.Set }},
		{"fold", func(_ string, _ Subject, _ Image, a Assignment) string { return a.Fold }},
	} {
		if c.anyImage(func(n int, image Image) bool { return column.value("", c.Subjects[n], image, assigned[n]) != "" }) {
			used = append(used, column)
		}
	}
	return used
}

func (c *Cohort) anyImage(has func(n int, image Image) bool) bool {
	for n, s := range c.Subjects {
		if slices.ContainsFunc(s.Images, func(image Image) bool { return has(n, image) }) {
			return true
		}
	}
	return false
}

// pathColumns names a column for each sequence: path, or the sequences' names.
func (c *Cohort) pathColumns() []string {
	if len(c.Sequences) > 1 {
		return c.Sequences
	}
	return []string{"path"}
}

func (c *Cohort) covariateNames() (names []string) {
	for _, s := range c.Subjects {
		for name := range s.Covariates {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// columnName is the covariate's own unless Open gives that name a meaning.
func columnName(name string, taken []string) string {
	known := slices.Concat(pathNames, labelNames, maskNames, siteNames, setNames, volumeNames, sessionNames, foldNames, subjectNames)
	if slices.Contains(slices.Concat(known...), plain(name)) {
		name = "original_" + name
	}
	for slices.Contains(taken, name) {
		name += "_"
	}
	return name
}

// pathFrom names a file from a folder: relative when it lies below, else
// absolute.
func pathFrom(dir, file string) string {
	absolute, err := filepath.Abs(file)
	if err != nil {
		return file
	}
	folder, err := filepath.Abs(dir)
	if err != nil {
		return absolute
	}
	relative, err := filepath.Rel(folder, absolute)
	if err != nil || relative == ".." || strings.HasPrefix(relative, ".."+string(filepath.Separator)) {
		return absolute
	}
	return filepath.ToSlash(relative)
}

// A datalistItem is one image of a written datalist. What not all images have is
// left out, since MONAI stacks the items of a batch key by key.
type datalistItem struct {
	Image   any    `json:"image"` // a path, or a list of them
	Label   int    `json:"label"` // index into the labels of the list
	Subject string `json:"subject"`
	Mask    string `json:"mask,omitempty"`
	Site    string `json:"site,omitempty"`
	Session string `json:"session,omitempty"`
	Volume  *int   `json:"volume,omitempty"`
	Fold    *int   `json:"fold,omitempty"`
}

// WriteDatalist writes a MONAI datalist: the lists training, validation and test,
// and the names of the labels. With folds every subject that is in one is in
// training, with its fold. Paths are as in WriteTable. An image of an archive of
// arrays, which MONAI cannot read, is refused with ErrUnsupported.
func (c *Cohort) WriteDatalist(w io.Writer, dir string, assigned []Assignment) error {
	list := struct {
		Labels     map[string]string `json:"labels"`
		Training   []datalistItem    `json:"training"`
		Validation []datalistItem    `json:"validation,omitempty"`
		Test       []datalistItem    `json:"test,omitempty"`
	}{Labels: map[string]string{}, Training: []datalistItem{}}
	for class, name := range c.Classes {
		list.Labels[strconv.Itoa(class)] = name
	}
	item := c.itemWriter(dir)
	for n, s := range c.Subjects {
		for _, image := range s.Images {
			if _, _, ok := splitMember(image.Path); ok {
				return fmt.Errorf("%w: %s is an image of an archive, which MONAI cannot read; write a table", ErrUnsupported, image.Path)
			}
			switch assigned[n].Set {
			case "validation":
				list.Validation = append(list.Validation, item(s, image, assigned[n]))
			case "test":
				list.Test = append(list.Test, item(s, image, assigned[n]))
			default:
				list.Training = append(list.Training, item(s, image, assigned[n]))
			}
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(list); err != nil {
		return fmt.Errorf("write datalist: %w", err)
	}
	return nil
}

// itemWriter returns what makes the item of an image, with the keys that all
// images have.
func (c *Cohort) itemWriter(dir string) func(Subject, Image, Assignment) datalistItem {
	all := func(has func(Subject, Image) bool) bool {
		return !c.anyImage(func(n int, image Image) bool { return !has(c.Subjects[n], image) })
	}
	masks := all(func(_ Subject, image Image) bool { return image.Mask != "" })
	sites := all(func(s Subject, _ Image) bool { return s.Site != "" })
	sessions := all(func(_ Subject, image Image) bool { return image.Session != "" })
	volumes := all(func(_ Subject, image Image) bool { return image.Volume != Unchosen })
	return func(s Subject, image Image, a Assignment) datalistItem {
		item := datalistItem{Image: pathFrom(dir, image.Path), Label: s.Class, Subject: s.ID}
		if len(image.Also) > 0 {
			files := []string{pathFrom(dir, image.Path)}
			for _, file := range image.Also {
				files = append(files, pathFrom(dir, file))
			}
			item.Image = files
		}
		if masks {
			item.Mask = pathFrom(dir, image.Mask)
		}
		if sites {
			item.Site = s.Site
		}
		if sessions {
			item.Session = image.Session
		}
		if volumes {
			item.Volume = &image.Volume
		}
		if fold, err := strconv.Atoi(a.Fold); err == nil {
			item.Fold = &fold
		}
		return item
	}
}
