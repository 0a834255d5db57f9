package run

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// A logFormat is one kind of log. The formats stand in logFormats in the order
// in which they are tried; of one run logged in two formats the first is kept.
type logFormat struct {
	title string // as messages call it
	// recognise decides by the first bytes of a file, at most headSize.
	recognise func(head []byte) bool
	// run names the run that a file belongs to; nil: every file has its own.
	run func(path string) string
	// read reads the files of one run, which may hold several runs after all,
	// and names the format.
	read func(files []string) (runs []*loggedRun, format string, err error)
}

const headSize = 64 << 10

var logFormats = []logFormat{
	{"Hugging Face trainer_state.json", isTrainerState, trainerStateRun, readTrainerStates},
	{"MMEngine JSON lines", isMMEngine, nil, eachFile("mmengine", readMMEngine)},
	{"History JSON", isHistory, nil, eachFile("history-json", readHistory)},
	{"Keras, Lightning, Ultralytics, fastai or timm CSV", isTable, nil, readTableFile},
	{"MLflow file store", isMetric, metricRun, readMetrics},
	{"TensorBoard event files", isEvents, eventRun, readEventFolder},
	{"W&B .wandb files", isWandb, nil, eachFile("wandb", readWandb)},
	{"nnU-Net training logs", isNNUNet, nil, eachFile("nnunet", readNNUNet)},
	{"text with epochs and validation values", isText, nil, eachFile("text", readText)},
}

// eachFile reads one file with a reader of one format.
func eachFile(format string, read func(io.Reader) ([]*loggedRun, error)) func([]string) ([]*loggedRun, string, error) {
	return func(files []string) ([]*loggedRun, string, error) {
		f, err := os.Open(files[0])
		if err != nil {
			return nil, format, err
		}
		defer f.Close()
		runs, err := read(f)
		return runs, format, err
	}
}

func readTableFile(files []string) ([]*loggedRun, string, error) {
	f, err := os.Open(files[0])
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	runs, format, err := readTable(f)
	for _, one := range runs {
		one.classes = classesBeside(files[0])
	}
	return runs, format, err
}

// OpenLog reads the log of another trainer, a file or a folder of logs, and
// returns its runs in the order of their names and of their places in a file.
// What a file is, is decided by its content, not by its name.
//
// It fails with ErrNotLog when nothing is recognised and with ErrNoValidation
// when logs are recognised but none has validation values. Damaged and
// half-written logs are read as far as they are readable; Notes says what is
// missing.
func OpenLog(path string) ([]*Curves, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	s := search{root: path}
	switch {
	case info.IsDir():
		err = s.folder()
	case info.Mode().IsRegular():
		s.single = true
		err = s.file(path)
	default:
		return nil, fmt.Errorf("open log %s: %w: neither a file nor a folder", path, ErrNotLog)
	}
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return s.curves()
}

// A search gathers the logs under a path.
type search struct {
	root    string
	single  bool
	files   int
	groups  []group
	byKey   map[string]int
	hints   []string // what files that cannot be read are
	notes   []string
	failed  []error
	without []*Curves // recognised, no validation values
}

// A group are the files of one run in one format.
type group struct {
	format int // index into logFormats
	name   string
	files  []string
}

const mostFiles = 100_000

var errTooMany = errors.New("too many files")

// folder looks at every file under the root.
func (s *search) folder() error {
	root, err := filepath.EvalSymlinks(s.root)
	if err != nil {
		return err
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			s.notes = append(s.notes, fmt.Sprintf("not read: %v", err))
			return nil
		}
		if entry.IsDir() {
			return s.enter(root, path, entry.Name())
		}
		if s.files++; s.files > mostFiles {
			return errTooMany
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
			return nil
		}
		return s.file(path)
	})
	if errors.Is(err, errTooMany) {
		s.notes = append(s.notes, fmt.Sprintf("more than %d files: the rest was not looked at", mostFiles))
		err = nil
	}
	return err
}

// enter decides whether to look into a folder.
func (s *search) enter(root, path, name string) error {
	if path == root {
		return nil
	}
	switch {
	case name == ".aim":
		s.hint(path, "an Aim repository")
		return filepath.SkipDir
	case strings.HasPrefix(name, ".") || name == "node_modules" || name == "__pycache__":
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(path, HeaderFile)); err == nil {
		if _, err := os.Stat(filepath.Join(path, EpochsFile)); err == nil {
			s.notes = append(s.notes, path+" is a run of ballast: open it by itself")
			return filepath.SkipDir
		}
	}
	return nil
}

// file recognises one file and puts it into its group.
func (s *search) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		if s.single {
			return err
		}
		s.notes = append(s.notes, fmt.Sprintf("not read: %v", err))
		return nil
	}
	head := make([]byte, headSize)
	n, err := io.ReadFull(f, head)
	f.Close()
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return fmt.Errorf("read %s: %w", path, err)
	}
	head = head[:n]
	if what := unreadable(head); what != "" {
		s.hint(path, what)
		return nil
	}
	for i, format := range logFormats {
		if i == len(logFormats)-1 && !s.single && !maybeTextLog(path) {
			break
		}
		if format.recognise(head) {
			s.add(i, path)
			return nil
		}
	}
	return nil
}

func (s *search) add(format int, path string) {
	name := path
	if by := logFormats[format].run; by != nil {
		name = by(path)
	}
	key := fmt.Sprint(format, " ", name)
	index, known := s.byKey[key]
	if !known {
		if s.byKey == nil {
			s.byKey = map[string]int{}
		}
		index = len(s.groups)
		s.byKey[key] = index
		s.groups = append(s.groups, group{format: format, name: name})
	}
	s.groups[index].files = append(s.groups[index].files, path)
}

// unreadable names files that hold curves but are not read, with what to do.
func unreadable(head []byte) string {
	has := func(magic string) bool { return strings.HasPrefix(string(head[:min(len(head), len(magic))]), magic) }
	switch {
	case has("SQLite format 3\x00"):
		return "an SQLite database"
	case has("\x89HDF\r\n\x1a\n"):
		return "an HDF5 file"
	case has("MATLAB 5.0 MAT-file"):
		return "a MATLAB file"
	case has("Wall time,Step,Value"):
		return "one curve from TensorBoard's page"
	case has("PK\x03\x04"):
		return "a zip archive"
	case has("\x1f\x8b"):
		return "a gzip file"
	case has(`{"epoch":`) && strings.Contains(string(head), `"evaluations":[`), has("{") && strings.Contains(string(head), `"epochs_planned":`):
		return "part of a run of ballast"
	case len(head) > 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5:
		return "a Python pickle"
	}
	return ""
}

// whatToDo says how each kind of unreadable file becomes a log.
var whatToDo = map[string]string{
	"an SQLite database": "of MLflow or another tracker; export the metrics as CSV (mlflow.search_runs, client.get_metric_history)",
	"an HDF5 file":       "export its curves as CSV",
	"a MATLAB file":      "write the training info with writetable or jsonencode",
	"a zip archive":      "unpack it",
	"a gzip file":        "unpack it",
	"a Python pickle":    "which may run code when it is read; save the history with json.dump",
	"an Aim repository":  "export the runs as CSV",

	"one curve from TensorBoard's page": "at most 1000 points of it; give the event files",
	"part of a run of ballast":          "give the run's folder",
}

func (s *search) hint(path, what string) {
	if len(s.hints) < 3 {
		s.hints = append(s.hints, fmt.Sprintf("%s is %s: %s", s.relative(path), what, whatToDo[what]))
	}
}

func (s *search) relative(path string) string {
	root := s.root
	if resolved, err := filepath.EvalSymlinks(root); err == nil {
		root = resolved
	}
	if short, err := filepath.Rel(root, path); err == nil && short != "." {
		return short
	}
	return filepath.Base(path)
}

// codeEndings are of files that are no logs whatever they mention. They are left
// alone in folders; a file given by itself is always looked into.
var codeEndings = strings.Fields(".py .ipynb .md .rst .html .htm .js .ts .css .json .yaml .yml .toml .cfg .ini .xml .csv .tsv " +
	".go .c .h .cpp .java .m .r .sh .bat .tex .bib .svg .pt .pth .npy .npz .nii .gz .mgz .dcm .png .jpg .jpeg .pdf .onnx .safetensors")

func maybeTextLog(path string) bool {
	return !slices.Contains(codeEndings, strings.ToLower(filepath.Ext(path)))
}

// curves reads the groups and returns their runs.
func (s *search) curves() ([]*Curves, error) {
	var all []*Curves
	order := map[*Curves]int{}
	for _, g := range s.groups {
		runs, format, err := logFormats[g.format].read(g.files)
		if err != nil && !(errors.Is(err, io.ErrUnexpectedEOF) && len(runs) > 0) {
			s.failed = append(s.failed, fmt.Errorf("read %s: %w", s.relative(g.files[0]), err))
		} else if err != nil {
			runs[len(runs)-1].note("%s ends in the middle of a value: what stands before is used", filepath.Base(g.files[0]))
		}
		for _, one := range s.named(runs, g) {
			c := one.curves(s.root, format)
			switch {
			case c.HasValidation():
				order[c] = g.format
				all = append(all, c)
			case len(c.Points) > 0 || g.format != len(logFormats)-1:
				s.without = append(s.without, c)
			}
		}
	}
	if len(all) == 0 {
		return nil, s.nothing()
	}
	all = s.distinct(all, order)
	sort.SliceStable(all, func(i, j int) bool { return naturalLess(fileOf(all[i].Name), fileOf(all[j].Name)) })
	s.finishNames(all)
	s.remark(all)
	return all, nil
}

// named prefixes the names of the runs of a group by the name of the group.
func (s *search) named(runs []*loggedRun, g group) []*loggedRun {
	with := ""
	if !s.single {
		with = s.relative(g.name)
		if g.name == s.root || with == "." {
			with = ""
		}
	}
	for i, one := range runs {
		if len(runs) > 1 && one.name == "" {
			one.name = fmt.Sprintf("run %d", i+1)
		}
		one.name = strings.TrimSuffix(with+nameSeparator+one.name, nameSeparator)
	}
	return runs
}

// nameSeparator stands between the file and the run within it while names are
// put together.
const nameSeparator = "\x00"

func fileOf(name string) string {
	file, _, _ := strings.Cut(name, nameSeparator)
	return file
}

// finishNames leaves a single run without a name and joins the parts of the others.
func (s *search) finishNames(all []*Curves) {
	for _, c := range all {
		c.Name = strings.TrimSpace(strings.ReplaceAll(c.Name, nameSeparator, " "))
		if len(all) == 1 {
			c.Name = ""
		}
	}
}

// distinct drops runs that another format tells too.
func (s *search) distinct(all []*Curves, order map[*Curves]int) []*Curves {
	if len(all) > 500 {
		return all
	}
	byFormat := slices.Clone(all)
	sort.SliceStable(byFormat, func(i, j int) bool { return order[byFormat[i]] < order[byFormat[j]] })
	dropped := map[*Curves]bool{}
	for i, kept := range byFormat {
		for _, other := range byFormat[i+1:] {
			if dropped[kept] || dropped[other] || order[kept] != order[other] && !sameRun(kept, other) ||
				order[kept] == order[other] && !copied(kept, other) {
				continue
			}
			dropped[other] = true
			kept.Notes = append(kept.Notes, fmt.Sprintf("the same run is left out where it stands again: %s (%s)",
				strings.ReplaceAll(other.Name, nameSeparator, " "), other.Format))
		}
	}
	return slices.DeleteFunc(all, func(c *Curves) bool { return dropped[c] })
}

// sameRun reports whether two logs hold the same validation values, as far as
// printed digits can tell.
func sameRun(a, b *Curves) bool {
	if len(a.Points) < 3 || len(a.Points)-len(b.Points) > 1 || len(b.Points)-len(a.Points) > 1 {
		return false
	}
	compared, equal := 0, 0
	different := map[Float]bool{}
	for i := range min(len(a.Points), len(b.Points)) {
		for _, pair := range [2][2]Float{
			{a.Points[i].ValidationLoss, b.Points[i].ValidationLoss}, {a.Points[i].ValidationAccuracy, b.Points[i].ValidationAccuracy},
		} {
			x, y := float64(pair[0]), float64(pair[1])
			if x != x || y != y {
				continue
			}
			compared++
			different[pair[0]] = true
			if d := x - y; d*d <= 1e-6*max(1, x*x) {
				equal++
			}
		}
	}
	return len(different) >= 3 && 10*equal >= 9*compared
}

// copied reports whether two files of one folder hold the same run, number for
// number: MMEngine writes every log twice.
func copied(a, b *Curves) bool {
	if filepath.Dir(fileOf(a.Name)) != filepath.Dir(fileOf(b.Name)) || fileOf(a.Name) == fileOf(b.Name) ||
		len(a.Points) < 2 || len(a.Points) != len(b.Points) {
		return false
	}
	for i := range a.Points {
		x, y := a.Points[i].values(), b.Points[i].values()
		for j := range x {
			if x[j] != y[j] && (x[j] == x[j] || y[j] == y[j]) {
				return false
			}
		}
	}
	return true
}

func (p Point) values() [5]Float {
	return [...]Float{p.LearningRate, p.TrainAccuracy, p.TrainLoss, p.ValidationAccuracy, p.ValidationLoss}
}

// remark adds what concerns the whole search to the first run.
func (s *search) remark(all []*Curves) {
	notes := s.notes
	if n := len(s.without); n > 0 {
		notes = append(notes, fmt.Sprintf("%d of the runs in %s have no validation values and are left out", n, s.root))
	}
	for _, err := range s.failed {
		notes = append(notes, "not read: "+err.Error())
	}
	const most = 20
	if len(notes) > most {
		notes = append(notes[:most:most], fmt.Sprintf("and %d more of the kind", len(notes)-most))
	}
	all[0].Notes = append(all[0].Notes, notes...)
}

// nothing says why no run can be returned.
func (s *search) nothing() error {
	if len(s.failed) > 0 {
		return fmt.Errorf("open log %s: %w", s.root, s.failed[0])
	}
	if len(s.without) > 0 {
		return s.noValidation()
	}
	var titles []string
	for _, format := range logFormats {
		titles = append(titles, format.title)
	}
	err := fmt.Errorf("open log %s: %w: looked for %s", s.root, ErrNotLog, strings.Join(titles, "; "))
	if why := append(s.hints, s.notes...); len(why) > 0 {
		err = fmt.Errorf("%w; %s", err, strings.Join(why, "; "))
	}
	return err
}

func (s *search) noValidation() error {
	c := s.without[0]
	what := fmt.Sprintf("%d epochs of training values", len(c.Points))
	if len(c.Points) == 0 {
		what = "no metrics at all"
	}
	err := fmt.Errorf("open log %s: %w: %s of format %s with %s", s.root, ErrNoValidation, plural(len(s.without), "run"), c.Format, what)
	if len(c.Notes) > 0 {
		err = fmt.Errorf("%w (%s)", err, c.Notes[0])
	}
	if s.single && (c.Format == "tensorboard" || c.Format == "mlflow") {
		err = fmt.Errorf("%w; validation may stand in another file: give the folder of the run", err)
	}
	return err
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// naturalLess orders names with their numbers by value: trial2 before trial10.
func naturalLess(a, b string) bool {
	for a != "" && b != "" {
		x, restA := leadingNumber(a)
		y, restB := leadingNumber(b)
		if x != "" && y != "" {
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(x) != len(y) {
				return len(x) < len(y)
			}
			if x != y {
				return x < y
			}
			a, b = restA, restB
			continue
		}
		if a[0] != b[0] {
			return a[0] < b[0]
		}
		a, b = a[1:], b[1:]
	}
	return len(a) < len(b)
}

func leadingNumber(text string) (digits, rest string) {
	n := 0
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	return text[:n], text[n:]
}
