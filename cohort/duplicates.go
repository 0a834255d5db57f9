package cohort

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// sampleBytes is read at the start, in the middle and at the end of files of one
// size, before any is read whole.
const sampleBytes = 64 << 10

// A listed file is an image of a subject.
type listedFile struct {
	subject int
	path    string
	size    int64
}

// findDuplicates looks for files of the same content under different names:
// those of one size are compared by a sample, those of one sample by the SHA-256
// of all bytes. Images of an archive of arrays and empty files are not compared.
func (c *Cohort) findDuplicates(lenient bool) error {
	bySize := map[int64][]listedFile{}
	for n, s := range c.Subjects {
		for _, image := range s.Images {
			for _, path := range append([]string{image.Path}, image.Also...) {
				if size := sizeOf(path); size > 0 {
					bySize[size] = append(bySize[size], listedFile{n, path, size})
				}
			}
		}
	}
	var groups [][]listedFile
	for _, size := range slices.Sorted(maps.Keys(bySize)) {
		for _, alike := range groupBy(bySize[size], sampleOf) {
			groups = append(groups, groupBy(alike, contentOf)...)
		}
	}
	for _, group := range groups {
		c.addDuplicates(group)
	}
	slices.SortFunc(c.Duplicates, func(a, b Duplicate) int {
		return cmp.Or(slices.Compare(a.Subjects[:], b.Subjects[:]), slices.Compare(a.Paths[:], b.Paths[:]))
	})
	return c.judgeDuplicates(lenient)
}

// addDuplicates records a group of equal files: each subject beside the first,
// and repetitions within a subject as a note.
func (c *Cohort) addDuplicates(group []listedFile) {
	slices.SortStableFunc(group, func(a, b listedFile) int { return cmp.Compare(a.subject, b.subject) })
	known := map[int]string{group[0].subject: group[0].path}
	for _, f := range group[1:] {
		if path, ok := known[f.subject]; ok {
			if realPath(path) != realPath(f.path) { // volumes of one 4D file share it
				c.Notes = append(c.Notes, fmt.Sprintf("subject %s has one image twice: %s and %s have the same content", c.Subjects[f.subject].ID, path, f.path))
			}
			continue
		}
		known[f.subject] = f.path
		if realPath(group[0].path) != realPath(f.path) {
			c.Duplicates = append(c.Duplicates, Duplicate{[2]int{group[0].subject, f.subject}, [2]string{group[0].path, f.path}})
		}
	}
}

// judgeDuplicates refuses an image that subjects of two sets share, and notes
// the others.
func (c *Cohort) judgeDuplicates(lenient bool) error {
	var across, noted []string
	for _, d := range c.Duplicates {
		a, b := c.Subjects[d.Subjects[0]], c.Subjects[d.Subjects[1]]
		text := fmt.Sprintf("%s of subject %s and %s of subject %s", filepath.Base(d.Paths[0]), a.ID, filepath.Base(d.Paths[1]), b.ID)
		if a.Class != b.Class {
			text += fmt.Sprintf(", labelled %s and %s,", c.Classes[a.Class], c.Classes[b.Class])
		}
		if a.Set != "" && b.Set != "" && a.Set != b.Set {
			across = append(across, fmt.Sprintf("%s are in %s and %s", text, a.Set, b.Set))
		} else {
			noted = append(noted, text)
		}
	}
	if len(across) > 0 && !lenient {
		return fmt.Errorf("%w: the same content in two sets: %s", ErrDuplicateImage, someOf(across, "; ", "pairs"))
	}
	if len(noted) > 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("the same content under two names: %s; such subjects are kept in one set, but one patient should be one subject", someOf(noted, "; ", "pairs")))
	}
	return nil
}

// groupBy divides files into those of equal key and keeps groups of several. A
// file that cannot be read is like no other.
func groupBy(files []listedFile, key func(path string) ([sha256.Size]byte, error)) [][]listedFile {
	if len(files) < 2 {
		return nil
	}
	var order [][sha256.Size]byte
	groups := map[[sha256.Size]byte][]listedFile{}
	for _, f := range files {
		k, err := key(f.path)
		if err != nil {
			continue
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], f)
	}
	var several [][]listedFile
	for _, k := range order {
		if len(groups[k]) > 1 {
			several = append(several, groups[k])
		}
	}
	return several
}

// sizeOf is the size of a file, or of all files in a DICOM folder; 0 for what is
// not compared.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0 // an image of an archive, or one series of a folder
	}
	if !info.IsDir() {
		return info.Size()
	}
	var size int64
	for _, file := range plainFiles(path) {
		if info, err := os.Stat(file); err == nil {
			size += info.Size()
		}
	}
	return size
}

// plainFiles lists the files directly in a folder.
func plainFiles(folder string) []string {
	entries, _ := os.ReadDir(folder) // what cannot be read is not compared
	var files []string
	for _, entry := range entries {
		if entry.Type().IsRegular() {
			files = append(files, filepath.Join(folder, entry.Name()))
		}
	}
	return files
}

func sampleOf(path string) ([sha256.Size]byte, error) { return hashOf(path, hashSample) }

func contentOf(path string) ([sha256.Size]byte, error) {
	return hashOf(path, func(file *os.File, _ int64, w io.Writer) error {
		_, err := io.Copy(w, file)
		return err
	})
}

// hashOf hashes a file, or the files of a folder whatever their names.
func hashOf(path string, read func(*os.File, int64, io.Writer) error) (sum [sha256.Size]byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return sum, err
	}
	if !info.IsDir() {
		return hashFile(path, info.Size(), read)
	}
	var sums [][sha256.Size]byte
	for _, name := range plainFiles(path) {
		info, err := os.Stat(name)
		if err != nil {
			return sum, err
		}
		one, err := hashFile(name, info.Size(), read)
		if err != nil {
			return sum, err
		}
		sums = append(sums, one)
	}
	slices.SortFunc(sums, func(a, b [sha256.Size]byte) int { return slices.Compare(a[:], b[:]) })
	h := sha256.New()
	for _, one := range sums {
		h.Write(one[:])
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

func hashFile(path string, size int64, read func(*os.File, int64, io.Writer) error) (sum [sha256.Size]byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer file.Close()
	h := sha256.New()
	err = read(file, size, h)
	return [sha256.Size]byte(h.Sum(nil)), err
}

func hashSample(file *os.File, size int64, w io.Writer) error {
	for _, start := range []int64{0, size/2 - sampleBytes/2, size - sampleBytes} {
		if _, err := io.Copy(w, io.NewSectionReader(file, max(0, start), sampleBytes)); err != nil {
			return err
		}
	}
	return nil
}
