package cohort

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var imageEndings = []string{".nii", ".nii.gz", ".hdr", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".npy"}

// openFolders reads a folder of classes, or of sets of classes. An image is a
// file, or a folder with the slices of a DICOM series. When every image lies in
// a folder below its class's, the first such folder is the subject; else the
// subject is told by the file's name: sub-XX, else all of it without its ending.
// Files called masks by their names (case-7_mask.png) are left out and noted.
func openFolders(folder string, o Options, lenient bool) (*Cohort, error) {
	c := &Cohort{Dir: folder}
	rows, err := folderRows(folder)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%w: no participants.tsv, no other table and no class folders with images%s", ErrNoCohort, spreadsheetHint(folder))
	}
	if !slices.ContainsFunc(rows, func(r row) bool { return !strings.HasPrefix(r.label, "sub-") }) {
		return nil, fmt.Errorf("%w: a BIDS tree without participants.tsv; write one with the columns participant_id and label", ErrNoCohort)
	}
	if column := cmp.Or(o.Label, cmp.Or(o.Path...), o.Subject, o.Mask, o.Site, o.Set, o.Fold, o.Session, cmp.Or(o.Sequences...)); column != "" {
		return nil, fmt.Errorf("%w: %s is a folder of classes without a table, so there is no column %q", ErrColumn, folder, column)
	}
	if err := noCovariates(folder, "a folder of classes", o); err != nil {
		return nil, err
	}
	if rows, err = c.leaveOutMasks(rows); err != nil {
		return nil, err
	}
	used := columns{}
	if err := c.chooseVolume(&table{path: folder}, o, &used); err != nil {
		return nil, err
	}
	c.nameSubjects(rows)
	for n := range rows {
		rows[n].volume = used.index
		rows[n].facts = readSidecar(c.resolve(sidecarOf(rows[n].path)))
	}
	if err := c.checkFiles(rows); err != nil {
		return nil, err
	}
	return c, c.build(rows, lenient)
}

// folderRows lists the images of a folder of classes, or of sets of classes.
func folderRows(folder string) ([]row, error) {
	names, err := subfolders(folder)
	if err != nil {
		return nil, err
	}
	ofSets := len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return sets[strings.ToLower(name)] == "" })
	if !ofSets {
		return classRows(folder, "", "")
	}
	var rows []row
	for _, name := range names {
		more, err := classRows(folder, name, sets[strings.ToLower(name)])
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// subfolders lists the folders in a folder, links to folders included.
func subfolders(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		info, err := os.Stat(filepath.Join(folder, entry.Name()))
		if err == nil && info.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// spreadsheetHint speaks up about a table that only a spreadsheet program reads.
func spreadsheetHint(folder string) string {
	for _, pattern := range []string{"*.xlsx", "*.xls", "*.ods"} {
		if found, err := filepath.Glob(filepath.Join(escapeGlob(folder), pattern)); err == nil && len(found) > 0 {
			return fmt.Sprintf("; save %s as CSV", filepath.Base(found[0]))
		}
	}
	return ""
}

func escapeGlob(path string) string {
	return strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`).Replace(path)
}

// maskName is how the masks of published sets of class folders are called:
// sub-01_mask.nii.gz, "benign (1)_mask_1.png", case-7-seg.nii.
var maskName = regexp.MustCompile(`(?i)[-_ .](mask|seg|segmentation|roi|lesion)([-_ ]?\d+)?$`)

// leaveOutMasks drops the files that are masks by their names: taken for images
// they would be a second image of the same patient, or a patient too many.
func (c *Cohort) leaveOutMasks(rows []row) ([]row, error) {
	var images []row
	masks := ""
	for _, r := range rows {
		ending, _ := imageEnding(r.path)
		if maskName.MatchString(strings.TrimSuffix(filepath.Base(r.path), ending)) {
			masks = cmp.Or(masks, r.path)
			continue
		}
		images = append(images, r)
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("%w: all images are masks by their names (%s, ...)", ErrNoCohort, masks)
	}
	if masks != "" {
		c.Notes = append(c.Notes, fmt.Sprintf("%d files are masks by their names (the first is %s) and were left out; a table with a mask column makes use of them",
			len(rows)-len(images), masks))
	}
	return images, nil
}

// classRows lists the images of folder/below, whose subfolders are classes.
// Their subject is the folder below the class's, empty where there is none.
func classRows(folder, below, set string) ([]row, error) {
	classes, err := subfolders(filepath.Join(folder, below))
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, class := range classes {
		// The separator at the end makes WalkDir follow a link to a folder.
		top := filepath.Join(folder, below, class) + string(filepath.Separator)
		err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if strings.HasPrefix(entry.Name(), ".") && path != top {
				if entry.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			_, isImage := imageEnding(path)
			series := entry.IsDir() && path != top && IsDICOMFolder(path)
			if !series && (entry.IsDir() || !isImage) {
				return nil
			}
			relative, err := filepath.Rel(folder, path)
			if err != nil {
				return err
			}
			inner, err := filepath.Rel(top, path)
			subject, _, nested := strings.Cut(inner, string(filepath.Separator))
			if !nested && !series {
				subject = ""
			}
			rows = append(rows, row{subject: subject, label: class, set: set, path: relative, volume: Unchosen})
			if series {
				return fs.SkipDir
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// nameSubjects decides whether folders or file names tell the subjects.
func (c *Cohort) nameSubjects(rows []row) {
	nested := slices.IndexFunc(rows, func(r row) bool { return r.subject == "" }) < 0
	if nested {
		c.Notes = append(c.Notes, "every image lies in a folder below its class's, so these folders are the subjects; list the images in a table if they are not")
		return
	}
	for n := range rows {
		ending, _ := imageEnding(rows[n].path)
		rows[n].subject = subjectOf(strings.TrimSuffix(filepath.Base(rows[n].path), ending))
	}
	c.Notes = append(c.Notes, "subjects are told by file names: sub-XX, else the whole name; list them in a table when patients have several images")
}

// imageEnding returns the part of the name from ".nii", ".png", ... on.
func imageEnding(path string) (string, bool) {
	for _, ending := range imageEndings {
		if strings.HasSuffix(strings.ToLower(path), ending) {
			return path[len(path)-len(ending):], true
		}
	}
	return "", false
}

func subjectOf(stem string) string {
	if strings.HasPrefix(stem, "sub-") {
		stem, _, _ = strings.Cut(stem, "_")
	}
	return stem
}
