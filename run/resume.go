package run

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"maps"
	"slices"
	"strings"
)

// Resume opens a run to go on after its first epochs, from a state that is as
// old as they are. Epochs recorded after them stay, and Append compares: a run
// that depends on nothing but its plan gives the same lines again. The plan and
// the number of planned epochs may be others than before; the creator stays.
//
// Resume cuts off an unfinished last line, removes temporary files and test.json,
// which belongs to a finished run, and sets the status to Running. It returns
// ErrBusy while another program records the run, and ErrMismatch when classes or
// subjects are not those of the run; then the disk is as it was.
func Resume(dir string, h Header, plan []byte, epochs int) (*Writer, error) {
	w, err := resume(dir, h, plan, epochs)
	if err != nil {
		return nil, fmt.Errorf("resume run %s: %w", dir, err)
	}
	return w, nil
}

func resume(dir string, h Header, plan []byte, epochs int) (*Writer, error) {
	if _, err := os.Stat(filepath.Join(dir, HeaderFile)); err != nil {
		_, err = Open(dir) // says what is missing
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, EpochsFile), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, header: h.clone(), epochs: file}
	if err = lock(file); err == nil {
		err = w.goOn(file, plan, epochs)
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// goOn brings the folder into the state of a run under way.
func (w *Writer) goOn(file *os.File, plan []byte, epochs int) error {
	r, err := Open(w.dir)
	if err != nil {
		return err
	}
	w.header.Format, w.header.Creator, w.header.Status = Format, r.Header.Creator, Running
	if err := w.header.validate(); err != nil {
		return err
	}
	if err := r.Header.same(&w.header); err != nil {
		return err
	}
	if recorded := len(r.Epochs); recorded < epochs || w.header.Planned > 0 && recorded > w.header.Planned {
		return fmt.Errorf("%w: %d epochs are recorded; it should go on after %d of %d", ErrInvalid, recorded, epochs, w.header.Planned)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxEpochs))
	if err != nil {
		return err
	}
	if err := w.keep(text, epochs); err != nil {
		return err
	}
	if epochs > 0 {
		w.last = Epoch{Epoch: epochs, Step: r.Epochs[epochs-1].Step}
	}
	if err := file.Truncate(w.size + int64(len(w.again))); err != nil {
		return err
	}
	if err := w.sweep(); err != nil {
		return err
	}
	if !bytes.Equal(plan, r.Plan) {
		if err := w.writePlan(plan); err != nil {
			return err
		}
	}
	return w.writeHeader()
}

// keep divides epochs.jsonl into the lines of the first epochs, the whole lines
// after them, and an unfinished one, which is forgotten.
func (w *Writer) keep(text []byte, epochs int) error {
	w.again = text[:bytes.LastIndexByte(text, '\n')+1]
	for epoch := range epochs {
		end := bytes.IndexByte(w.again, '\n') + 1
		if end == 0 {
			return fmt.Errorf("%w: %s has no whole line for epoch %d", ErrInvalid, EpochsFile, epoch+1)
		}
		w.size += int64(end)
		w.again = w.again[end:]
	}
	return nil
}

// sweep removes what belongs to no run under way.
func (w *Writer) sweep() error {
	if err := os.Remove(filepath.Join(w.dir, TestFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return filepath.WalkDir(w.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, temporary) {
			err = os.Remove(path)
		}
		return err
	})
}

// same says what differs between a run's own classes and subjects and others.
func (h *Header) same(other *Header) error {
	if !slices.Equal(h.Classes, other.Classes) {
		return fmt.Errorf("%w: its classes are %q, not %q", ErrMismatch, h.Classes, other.Classes)
	}
	for _, set := range slices.Sorted(maps.Keys(h.Sets)) {
		own, others := h.Sets[set], other.Sets[set]
		if len(own) != len(others) {
			return fmt.Errorf("%w: its set %s has %d subjects, not %d", ErrMismatch, set, len(own), len(others))
		}
		for i := range own {
			if own[i] != others[i] {
				return fmt.Errorf("%w: subject %d of its set %s is %s, not %s", ErrMismatch, i+1, set, own[i].describe(h), others[i].describe(h))
			}
		}
	}
	for set := range other.Sets {
		if _, known := h.Sets[set]; !known {
			return fmt.Errorf("%w: it has no set %s", ErrMismatch, set)
		}
	}
	return nil
}

// describe tells a subject from every other.
func (s Subject) describe(h *Header) string {
	site := ""
	if s.Site != "" {
		site = " of " + s.Site
	}
	return fmt.Sprintf("%s%s, class %q with %d images", s.ID, site, h.Classes[s.Class], s.Images)
}
