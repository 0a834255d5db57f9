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
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A Writer records a run. What it writes depends on nothing but what it is
// given: the same plan and the same epochs give the same bytes anywhere.
//
// A Writer is not safe for concurrent use. A process that dies at any moment
// leaves a folder that Open reads, short of at most the epoch being appended.
type Writer struct {
	dir    string
	header Header
	epochs lineFile
	size   int64  // bytes of epochs.jsonl that are whole lines
	last   Epoch  // epoch number and step of the last line, without its evaluations
	again  []byte // of a resumed run: whole lines that follow the last one and are about to be appended again
	closed bool
}

// A lineFile is epochs.jsonl open for appending: an *os.File, or in a test a
// file on a disk that fills up.
type lineFile interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// Create starts a run in a new or empty folder and writes an empty
// epochs.jsonl, plan.yaml (unless plan is nil) and, last, run.json with status
// Running.
// Format and Status of the header are set by Create.
//
// It returns ErrExists when the folder holds anything, and ErrInvalid when the
// header breaks a rule of the format; then the disk is as it was.
func Create(dir string, h Header, plan []byte) (*Writer, error) {
	h = h.clone()
	h.Format, h.Status = Format, Running
	if err := h.validate(); err != nil {
		return nil, fmt.Errorf("create run %s: %w", dir, err)
	}
	w := &Writer{dir: dir, header: h}
	made, err := emptyFolder(dir)
	if err == nil {
		err = w.start(plan)
	}
	if err != nil {
		w.abandon(made)
		return nil, fmt.Errorf("create run %s: %w", dir, err)
	}
	return w, nil
}

// clone copies the header, so that later changes by the caller do not reach
// the disk, with empty lists for nil ones, which the format does not have.
func (h Header) clone() Header {
	h.Classes = slices.Clone(h.Classes)
	sets := make(map[string][]Subject, len(h.Sets))
	for name, subjects := range h.Sets {
		sets[name] = append([]Subject{}, subjects...)
	}
	h.Sets = sets
	return h
}

// emptyFolder makes dir unless it is there and empty, and returns the topmost
// folder that it had to make, or "".
func emptyFolder(dir string) (made string, err error) {
	entries, err := os.ReadDir(dir)
	if err == nil {
		if len(entries) > 0 {
			return "", fmt.Errorf("%w: it holds %s; choose another folder or remove it", ErrExists, entries[0].Name())
		}
		return "", nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for missing := filepath.Clean(dir); ; missing = filepath.Dir(missing) {
		if _, err := os.Lstat(missing); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = missing
	}
	return made, os.MkdirAll(dir, 0o755)
}

func (w *Writer) start(plan []byte) error {
	// O_EXCL: of two programs that start in the same empty folder, one wins.
	file, err := os.OpenFile(filepath.Join(w.dir, EpochsFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: another program has just started a run there", ErrExists)
	}
	if err != nil {
		return err
	}
	w.epochs = file
	if err := lock(file); err != nil {
		return err
	}
	if err := w.writePlan(plan); err != nil {
		return err
	}
	return w.writeHeader()
}

func (w *Writer) writePlan(plan []byte) error {
	if plan == nil {
		return nil
	}
	if len(plan) > maxPlan {
		return fmt.Errorf("%w: a plan of %d bytes; at most %d", ErrInvalid, len(plan), maxPlan)
	}
	return w.replace(PlanFile, bytesOf(plan))
}

// abandon removes what a failed Create has made.
func (w *Writer) abandon(made string) {
	if w.epochs != nil {
		w.epochs.Close()
		for _, name := range []string{PlanFile, HeaderFile, EpochsFile} {
			os.Remove(filepath.Join(w.dir, name))
			os.Remove(filepath.Join(w.dir, name+temporary))
		}
	}
	for folder := filepath.Clean(w.dir); made != "" && len(folder) >= len(made); folder = filepath.Dir(folder) {
		os.Remove(folder) // fails, as it should, when somebody else put something there
	}
}

func (w *Writer) writeHeader() error {
	text, err := encode(w.header, "  ")
	if err != nil {
		return err
	}
	if len(text) > maxHeader {
		return fmt.Errorf("%w: %s of %d bytes; at most %d", ErrInvalid, HeaderFile, len(text), maxHeader)
	}
	return w.replace(HeaderFile, bytesOf(text))
}

// encode writes v as JSON that ends in a newline, without the escapes that
// only HTML needs.
func encode(v any, indent string) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	err := encoder.Encode(v)
	return text.Bytes(), err
}

// Append records one epoch: one line, in a single write, on the disk when
// Append returns. Epochs are numbered 1, 2, ... without gaps. It returns
// ErrInvalid for an epoch that the format does not allow; when the disk is full
// or fails, the line is taken back, so that the run stays valid. An epoch that a
// resumed run holds already must be the same; otherwise the error is ErrDiffers
// and the run is as it was.
func (w *Writer) Append(e Epoch) error {
	if w.closed {
		return fmt.Errorf("append epoch %d to run %s: %w", e.Epoch, w.dir, ErrClosed)
	}
	line, err := w.line(&e)
	if err == nil {
		err = w.appendLine(line)
	}
	if err != nil {
		return fmt.Errorf("append epoch %d to run %s: %w", e.Epoch, w.dir, err)
	}
	w.last = Epoch{Epoch: e.Epoch, Step: e.Step}
	return nil
}

func (w *Writer) line(e *Epoch) ([]byte, error) {
	if err := w.header.validateEpoch(e, &w.last); err != nil {
		return nil, err
	}
	whole := *e
	whole.Evaluations = append([]Evaluation{}, e.Evaluations...)
	if e.Health != nil {
		health := *e.Health
		health.Layers = append([]LayerHealth{}, health.Layers...)
		whole.Health = &health
	}
	line, err := encode(whole, "")
	if err == nil && int64(len(line)) > w.header.maxLine() {
		err = fmt.Errorf("%w: a line of %d bytes", ErrInvalid, len(line))
	}
	return line, err
}

func (w *Writer) appendLine(line []byte) error {
	if len(w.again) > 0 {
		if !bytes.HasPrefix(w.again, line) {
			return ErrDiffers
		}
		w.again = w.again[len(line):]
		w.size += int64(len(line))
		return nil
	}
	_, err := w.epochs.Write(line)
	if err == nil {
		err = w.epochs.Sync()
	}
	if err != nil {
		if cut := w.epochs.Truncate(w.size); cut != nil {
			w.Close() // a second line after half a line would damage the run
			return errors.Join(err, cut)
		}
		return err
	}
	w.size += int64(len(line))
	return nil
}

// WriteTest records the finished network's evaluations of the set "test" in
// test.json: of the last weights, and of the averaged ones as the view Averaged.
func (w *Writer) WriteTest(evaluations []Evaluation) error {
	text, err := encode(append([]Evaluation{}, evaluations...), "")
	if err != nil {
		return fmt.Errorf("write %s of run %s: %w", TestFile, w.dir, err)
	}
	return w.WriteFile(TestFile, text)
}

// WriteFile stores a further file of the run, such as LastWeightsFile, whole
// or not at all. The name is slash-separated and relative to the run's folder;
// the files that other methods write are refused, except TestFile, whose
// contents are checked.
func (w *Writer) WriteFile(name string, data []byte) error {
	if name == TestFile && !w.closed {
		evaluations, err := decodeEvaluations(data)
		if err == nil {
			err = w.header.validateTest(evaluations)
		} else {
			err = fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if err != nil {
			return fmt.Errorf("write %s of run %s: %w", name, w.dir, err)
		}
	}
	return w.store(name, bytesOf(data))
}

// WriteFrom is WriteFile for contents that are written piece by piece. TestFile
// is refused.
func (w *Writer) WriteFrom(name string, contents func(io.Writer) error) error {
	if name == TestFile {
		return fmt.Errorf("write a file of run %s: %w: %q belongs to the run itself", w.dir, ErrInvalid, name)
	}
	return w.store(name, contents)
}

func (w *Writer) store(name string, contents func(io.Writer) error) error {
	if w.closed {
		return fmt.Errorf("write %s of run %s: %w", name, w.dir, ErrClosed)
	}
	if err := checkFile(name); err != nil {
		return fmt.Errorf("write a file of run %s: %w", w.dir, err)
	}
	if err := os.MkdirAll(filepath.Join(w.dir, filepath.FromSlash(path.Dir(name))), 0o755); err != nil {
		return fmt.Errorf("write %s of run %s: %w", name, w.dir, err)
	}
	if err := w.replace(name, contents); err != nil {
		return fmt.Errorf("write %s of run %s: %w", name, w.dir, err)
	}
	return nil
}

func checkFile(name string) error {
	switch {
	case !fs.ValidPath(name) || name == "." || !filepath.IsLocal(filepath.FromSlash(name)) || strings.ContainsAny(name, "\\:\x00"):
		return fmt.Errorf("%w: %q is not a slash-separated name inside the run", ErrInvalid, name)
	case slices.Contains([]string{HeaderFile, PlanFile, EpochsFile, TestFile}, strings.ToLower(name)) && name != TestFile:
		return fmt.Errorf("%w: %q belongs to the run itself", ErrInvalid, name)
	case strings.HasSuffix(name, temporary):
		return fmt.Errorf("%w: %q ends in %s, which marks unfinished files", ErrInvalid, name, temporary)
	}
	return nil
}

// temporary ends the name of a file that is being written.
const temporary = ".tmp"

func (w *Writer) replace(name string, contents func(io.Writer) error) error {
	return replaceFile(filepath.Join(w.dir, filepath.FromSlash(name)), contents)
}

// replaceFile writes a file under a temporary name, then renames it.
func replaceFile(target string, contents func(io.Writer) error) error {
	err := writeSynced(target+temporary, contents)
	if err == nil {
		err = os.Rename(target+temporary, target)
	}
	if err != nil {
		os.Remove(target + temporary)
		return err
	}
	syncFolder(filepath.Dir(target))
	return nil
}

// bytesOf is a file's contents that are in memory as a whole.
func bytesOf(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

func writeSynced(file string, contents func(io.Writer) error) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	buffer := bufio.NewWriterSize(f, 1<<16)
	if err = contents(buffer); err == nil {
		err = buffer.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolder makes a rename survive a power cut where the system can; some
// systems and file systems refuse to sync a folder, and the file itself is
// whole either way.
func syncFolder(dir string) {
	if f, err := os.Open(dir); err == nil {
		_ = f.Sync()
		f.Close()
	}
}

// Finish closes the run with status Complete, Stopped or Interrupted. Complete
// needs all planned epochs. Nothing can be written afterwards.
func (w *Writer) Finish(status string) error {
	err := w.finish(status)
	if err != nil {
		return fmt.Errorf("finish run %s: %w", w.dir, err)
	}
	return nil
}

func (w *Writer) finish(status string) error {
	switch {
	case w.closed:
		return ErrClosed
	case status != Complete && status != Stopped && status != Interrupted:
		return fmt.Errorf("%w: status %q; want %s, %s or %s", ErrInvalid, status, Complete, Stopped, Interrupted)
	case status == Complete && w.header.Planned > 0 && w.last.Epoch != w.header.Planned:
		return fmt.Errorf("%w: complete with %d of %d epochs", ErrInvalid, w.last.Epoch, w.header.Planned)
	}
	w.header.Status = status
	return errors.Join(w.Close(), w.writeHeader())
}

// Close lets go of the files without finishing the run, which keeps the status
// Running, as after a crash. After Finish it does nothing.
func (w *Writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	return w.epochs.Close()
}
