package run

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Open reads a run. Everything is held against docs/format/run.md.
//
// It returns ErrNotRun when the folder holds no run, ErrFormat for a newer
// format, and ErrInvalid, with file, line and reason, for contents that the
// format does not allow. A last line that a killed writer left unfinished is
// dropped with a line in Run.Notes.
func Open(dir string) (*Run, error) {
	r := &Run{}
	if err := r.readHeader(dir); err != nil {
		return nil, err
	}
	if err := r.readPlan(filepath.Join(dir, PlanFile)); err != nil {
		return nil, err
	}
	if err := r.readEpochs(filepath.Join(dir, EpochsFile)); err != nil {
		return nil, err
	}
	if err := r.readTest(filepath.Join(dir, TestFile)); err != nil {
		return nil, err
	}
	if err := r.readFingerprint(dir); err != nil {
		return nil, err
	}
	if err := r.readProbes(dir); err != nil {
		return nil, err
	}
	r.remark()
	return r, nil
}

func (r *Run) readHeader(dir string) error {
	file := filepath.Join(dir, HeaderFile)
	text, err := readLimited(file, maxHeader)
	switch {
	case err != nil && isAbsent(err):
		return fmt.Errorf("open %s: %w: %s; a run is a folder with %s, %s and %s (docs/format/run.md)",
			dir, ErrNotRun, absence(dir), HeaderFile, EpochsFile, PlanFile)
	case err != nil:
		return err
	}
	if err := decodeFormat(text, HeaderFile); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	if r.Header, err = decodeHeader(text); err != nil {
		return fmt.Errorf("read %s: %w: %w", file, ErrInvalid, err)
	}
	if err := r.Header.validate(); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

// isAbsent also recognises a file where a folder should be.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func absence(dir string) string {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return "there is no such folder"
	case !info.IsDir():
		return "it is a file"
	}
	return HeaderFile + " is missing"
}

// readLimited reads a whole file of at most limit bytes.
func readLimited(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("read %s: %w: more than %d bytes", file, ErrInvalid, limit)
	}
	return text, nil
}

// readVersioned reads an optional file that states its format, which it checks; nil
// where there is no such file.
func readVersioned(file string, limit int64) ([]byte, error) {
	text, err := readLimited(file, limit)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if err := decodeFormat(text, filepath.Base(file)); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return text, nil
}

func (r *Run) readPlan(file string) error {
	text, err := readLimited(file, maxPlan)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	r.Plan = text
	return err
}

func (r *Run) readTest(file string) error {
	text, err := readLimited(file, r.Header.maxLine())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.Test, err = decodeEvaluations(text); err != nil {
		return fmt.Errorf("read %s: %w: %w", file, ErrInvalid, err)
	}
	if err := r.Header.validateTest(r.Test); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

func (r *Run) readEpochs(file string) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		r.note("%s is missing: no epoch is recorded", EpochsFile)
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > maxEpochs {
		return fmt.Errorf("read %s: %w: %d bytes; at most %d", file, ErrInvalid, info.Size(), maxEpochs)
	}
	if err := r.scanEpochs(f); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

func (r *Run) scanEpochs(source io.Reader) error {
	lines := bufio.NewReaderSize(io.LimitReader(source, maxEpochs), 1<<16)
	limit := r.Header.maxLine()
	for number := 1; ; number++ {
		line, err := readLine(lines, limit)
		atEnd := errors.Is(err, io.EOF)
		if err != nil && !atEnd {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if atEnd && len(line) == 0 {
			return nil
		}
		// An object cut short is never valid JSON, so a last line that is
		// valid lacks nothing but its newline.
		if atEnd && !json.Valid(line) {
			r.note("%s: line %d is unfinished (%d bytes) and was left out: the run was stopped while writing epoch %d",
				EpochsFile, number, len(line), len(r.Epochs)+1)
			return nil
		}
		if err := r.addEpoch(line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if atEnd {
			return nil
		}
	}
}

// readLine returns the next line without its newline; with io.EOF when the
// newline is missing.
func readLine(lines *bufio.Reader, limit int64) ([]byte, error) {
	var line []byte
	for {
		part, err := lines.ReadSlice('\n')
		line = append(line, part...)
		if int64(len(line)) > limit {
			return nil, fmt.Errorf("%w: longer than %d bytes, which no epoch of this run can be", ErrInvalid, limit)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
}

func (r *Run) addEpoch(line []byte) error {
	e, err := decodeEpoch(line)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	before := &Epoch{}
	if len(r.Epochs) > 0 {
		before = &r.Epochs[len(r.Epochs)-1]
	}
	if err := r.Header.validateEpoch(&e, before); err != nil {
		return err
	}
	r.Epochs = append(r.Epochs, e)
	return nil
}

func (r *Run) note(format string, values ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, values...))
}

// remark notes what is allowed but should be known.
func (r *Run) remark() {
	recorded, of := len(r.Epochs), ""
	if r.Header.Planned > 0 {
		of = fmt.Sprintf(" of %d planned", r.Header.Planned)
	}
	switch {
	case r.Header.Status == Running:
		r.note("the run is under way or was killed; epochs recorded: %d%s", recorded, of)
	case r.Header.Status == Complete && recorded < r.Header.Planned:
		r.note("%s says complete; epochs recorded: %d%s", HeaderFile, recorded, of)
	}
	r.remarkShared(Train, Validation)
	r.remarkShared(Train, Test)
	r.remarkShared(Validation, Test)
}

// remarkShared notes subjects in two sets: leakage that a diagnosis must see,
// so it is no reason to refuse the run.
func (r *Run) remarkShared(a, b string) {
	inA := map[string]bool{}
	for _, s := range r.Header.Sets[a] {
		inA[s.ID] = true
	}
	shared, first := 0, ""
	for _, s := range r.Header.Sets[b] {
		if inA[s.ID] {
			if shared == 0 {
				first = s.ID
			}
			shared++
		}
	}
	if shared > 0 {
		r.note("subjects in both %s and %s: %d, the first is %s", a, b, shared, first)
	}
}
