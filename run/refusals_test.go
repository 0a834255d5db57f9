package run

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every rule of the format, broken by replacing one piece of a valid file.
func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		file, old, new string
		sentinel       error
		want           string
	}{
		{HeaderFile, `"format": 1`, `"format": 2`, ErrFormat, "2; this program reads format 1"},
		{HeaderFile, `"format": 1,`, ``, ErrInvalid, `"format" is missing`},
		{HeaderFile, `"format": 1`, `"format": "1"`, ErrInvalid, "format: string where a whole number is expected"},
		{HeaderFile, `{`, `[{`, ErrInvalid, "not JSON at byte"},
		{HeaderFile, `"creator"`, `"creater"`, ErrInvalid, `unknown key "creater"; did you mean "creator"?`},
		{HeaderFile, `"creator"`, `"Creator"`, ErrInvalid, `unknown key "Creator"; did you mean "creator"?`},
		{HeaderFile, `"epochs_planned": 3,`, ``, ErrInvalid, `key "epochs_planned" is missing`},
		{HeaderFile, `"epochs_planned": 3`, `"epochs_planned": -1`, ErrInvalid, "epochs_planned is -1"},
		{HeaderFile, `"epochs_planned": 3`, `"epochs_planned": 2.5`, ErrInvalid, "number 2.5 where a whole number is expected"},
		{HeaderFile, `"epochs_planned": 3`, `"epochs_planned": null`, ErrInvalid, "epochs_planned: null where a value is expected"},
		{HeaderFile, `"status": "complete"`, `"status": "done"`, ErrInvalid, `status "done"; want running, complete, stopped or interrupted`},
		{HeaderFile, `"response & more",`, ``, nil, ""}, // two classes left: subject sub-03 has class 2
		{HeaderFile, `"response & more"`, `"no <response>"`, ErrInvalid, `class "no <response>" is listed twice`},
		{HeaderFile, `"response & more"`, `""`, ErrInvalid, "a class without a name"},
		{HeaderFile, `"validation": [`, `"": [`, ErrInvalid, "a set without a name"},
		{HeaderFile, `"id": "sub-02"`, `"id": "sub-01"`, ErrInvalid, "set train: subject sub-01 is listed twice"},
		{HeaderFile, `"id": "sub-02"`, `"id": ""`, ErrInvalid, "a subject without a name"},
		{HeaderFile, `"class": 2`, `"class": 3`, ErrInvalid, "subject sub-03 has class 3; there are classes 0 to 2"},
		{HeaderFile, `"class": 2`, `"class": -1`, ErrInvalid, "subject sub-03 has class -1"},
		{HeaderFile, `"class": 2`, `"klass": 2`, ErrInvalid, `sets: validation: element 0: unknown key "klass"; did you mean "class"?`},
		{HeaderFile, `"class": 2,`, ``, ErrInvalid, `element 0: key "class" is missing`},
		{HeaderFile, `"images": 2`, `"images": -2`, ErrInvalid, "subject sub-02 has -2 images"},
		{EpochsFile, `{"epoch":2`, `{"epoch":3`, ErrInvalid, "line 2: invalid run: epoch 3 follows epoch 1"},
		{EpochsFile, `{"epoch":1`, `{"epoch":0`, ErrInvalid, "line 1: invalid run: epoch 0 follows epoch 0"},
		{EpochsFile, `"step":8`, `"step":3`, ErrInvalid, "line 2: invalid run: step 3 follows step 4"},
		{EpochsFile, `{"epoch":2`, `"epoch":2`, ErrInvalid, "line 2: invalid run: not JSON at byte"},
		{EpochsFile, `{"epoch":2`, "\n{\"epoch\":2", ErrInvalid, "line 2: invalid run: not JSON at byte 0"},
		{EpochsFile, `{"epoch":2`, "null\n{\"epoch\":2", ErrInvalid, "line 2: invalid run: null where an object is expected"},
		{EpochsFile, `"NaN"`, `NaN`, ErrInvalid, `(write non-finite numbers as the strings "NaN", "Infinity", "-Infinity")`},
		{EpochsFile, `"loss":0.3,`, ``, ErrInvalid, `element 0: key "loss" is missing`},
		{EpochsFile, `"loss":0.3`, `"loss":"low"`, ErrInvalid, `loss: "low" is not a number`},
		{EpochsFile, `"loss":0.3`, `"loss":1e999`, ErrInvalid, `loss: 1e999 is beyond the range of a 64-bit float`},
		{EpochsFile, `"learning_rate"`, `"lr"`, ErrInvalid, `unknown key "lr"; did you mean`},
		{EpochsFile, `"accuracy":0.5`, `"accuracy":50`, ErrInvalid, "accuracy is 50; it is a share from 0 to 1"},
		{EpochsFile, `"accuracy":0.5`, `"accuracy":-0.5`, ErrInvalid, "accuracy is -0.5"},
		{EpochsFile, `"view":"deterministic"`, `"view":"logged"`, ErrInvalid, "two evaluations of view logged and set validation"},
		{EpochsFile, `"view":"deterministic"`, `"view":""`, ErrInvalid, "a view without a name"},
		{EpochsFile, `"set":"train"`, `"set":"training"`, ErrInvalid, `the set is not in run.json, which has ["test" "train" "validation"]`},
		{EpochsFile, `[0.1,0.2,0.7],null`, `[0.1,0.2,0.7]`, ErrInvalid, "view logged, set validation: 1 rows of probabilities for 2 subjects"},
		{EpochsFile, `[0.1,0.2,0.7]`, `[0.3,0.7]`, ErrInvalid, "subject sub-03: 2 probabilities for 3 classes"},
		{EpochsFile, `[0.1,0.2,0.7]`, `[]`, ErrInvalid, "subject sub-03: 0 probabilities for 3 classes"},
		{EpochsFile, `[0.1,0.2,0.7]`, `[0.1,0.2,0.6]`, ErrInvalid, "subject sub-03: the probabilities add up to 0.9"},
		{EpochsFile, `[0.1,0.2,0.7]`, `[-0.1,0.4,0.7]`, ErrInvalid, "-0.1 is not a probability"},
		{EpochsFile, `[0.1,0.2,0.7]`, `[0.1,0.2,[0.7]]`, ErrInvalid, "[0.7] is not a number"},
		{EpochsFile, `[0.1,0.2,0.7]`, `[0.1,0.2,1e99]`, ErrInvalid, "1e99 is beyond the range of a 32-bit float"},
		{EpochsFile, `[0.1,0.2,0.7]`, `0.1`, ErrInvalid, "a row of probabilities is an array of numbers or null, not 0.1"},
		{EpochsFile, `[0.1,0.2,0.7]`, `[0.1,0.2,"0.7"]`, ErrInvalid, `"0.7" is not a number`},
		{EpochsFile, `"evaluations":[`, `"evaluations":null,"x":[`, ErrInvalid, `unknown key "x"`},
		{EpochsFile, `{"epoch":2`, strings.Repeat(" ", 1<<20) + `{"epoch":2`, ErrInvalid, "line 2: invalid run: longer than"},
		{TestFile, `"set":"test"`, `"set":"validation"`, ErrInvalid, `an evaluation of the set "validation"; want test`},
		{TestFile, `[{`, `{"evaluations":[{`, ErrInvalid, "not JSON at byte"},
		{TestFile, `}]`, `}`, ErrInvalid, "not JSON at byte"},
		{TestFile, `[`, `{"a":0}` + "\n[", ErrInvalid, "not JSON at byte"},
		{TestFile, `[0.25,0.5,0.25]`, `[1]`, ErrInvalid, "1 probabilities for 3 classes"},
		{EpochsFile, `"mixing":1.25`, `"mixng":1.25`, ErrInvalid, `health: unknown key "mixng"; did you mean "mixing"?`},
		{EpochsFile, `"mixing":1.25,`, ``, ErrInvalid, `health: key "mixing" is missing`},
		{EpochsFile, `"health":{`, `"health":null,"x":{`, ErrInvalid, `unknown key "x"`},
		{EpochsFile, `"layers":[`, `"layers":null,"x":[`, ErrInvalid, `health: unknown key "x"`},
		{EpochsFile, `"name":"head.weight"`, `"name":""`, ErrInvalid, "health: a layer without a name"},
		{EpochsFile, `"zero_gradient":0.5`, `"zero_gradient":50`, ErrInvalid, "layer block1.conv.weight: zero_gradient is 50; it is a share from 0 to 1"},
		{EpochsFile, `"active":0.25`, `"active":-1`, ErrInvalid, "layer block1.conv.weight: active is -1; it is a share"},
		{EpochsFile, `"gradient":1e-7`, `"gradient":-1e-7`, ErrInvalid, "layer block1.conv.weight: gradient is -1e-07; it is at least 0"},
		{FingerprintFile, `{"format":1`, `{"format":2`, ErrFormat, "2; this program reads format 1"},
		{FingerprintFile, `{"format":1,`, `{`, ErrInvalid, `key "format" is missing, so this is not the fingerprint.json of a run`},
		{FingerprintFile, `"test":[`, `"tests":[`, ErrInvalid, `the set "tests" is not in run.json`},
		{FingerprintFile, `"sets":{`, `"sets":null,"x":{`, ErrInvalid, `unknown key "x"`},
		{FingerprintFile, `"mean":0,`, `"mean":0,"median":0,`, ErrInvalid, `element 0: unknown key "median"; did you mean "mean"?`},
		{FingerprintFile, `"mean":0,`, ``, ErrInvalid, `element 0: key "mean" is missing`},
		{FingerprintFile, `"deviation":1`, `"deviation":-1`, ErrInvalid, "subject sub-05: deviation is -1; it is at least 0"},
		{FingerprintFile, `127,-127,`, `127,`, ErrInvalid, "set test: subject sub-05: a thumbnail of 63 cells; want 64"},
		{FingerprintFile, `127,-127,`, `128,-127,`, ErrInvalid, "a cell of the thumbnail is 128; they lie from -127 to 127"},
		{FingerprintFile, `127,-127,`, `1.5,-127,`, ErrInvalid, "number 1.5 where a whole number is expected"},
		{FingerprintFile, `[{"mean":0`, `[{"mean":0,"deviation":1,"least":0,"greatest":0,"thumbnail":[]},{"mean":0`, ErrInvalid, "set test: 2 subjects; run.json has 1"},
		{ProbesFile, `"format": 1`, `"format": 9`, ErrFormat, "9; this program reads format 1"},
		{ProbesFile, `"epoch": 3`, `"epoch": -3`, ErrInvalid, "epoch is -3"},
		{ProbesFile, `"results"`, `"result"`, ErrInvalid, `unknown key "result"; did you mean "results"?`},
		{ProbesFile, `"id": "mode"`, `"id": ""`, ErrInvalid, "a probe without a name"},
		{ProbesFile, `"id": "mode"`, `"id": "recalibration"`, ErrInvalid, "probe recalibration is listed twice"},
		{ProbesFile, `"train_batch_loss": 0.5`, `"": 0.5`, ErrInvalid, "probe mode: a value without a name"},
		{ProbesFile, `"train_batch_loss": 0.5`, `"train_batch_loss": "half"`, ErrInvalid, `values: train_batch_loss: "half" is not a number`},
		{ProbesFile, `"values": {}`, `"values": null`, ErrInvalid, "values: null where an object is expected"},
		{PlanFile, samplePlan, strings.Repeat("#", maxPlan+1), ErrInvalid, "more than 1048576 bytes"},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		writeSample(t, dir)
		name := filepath.Join(dir, c.file)
		text, err := os.ReadFile(name)
		check(t, err)
		if !strings.Contains(string(text), c.old) {
			t.Fatalf("%s has no %s", c.file, c.old)
		}
		check(t, os.WriteFile(name, []byte(strings.Replace(string(text), c.old, c.new, 1)), 0o644))
		if c.sentinel == nil {
			c.sentinel, c.want = ErrInvalid, "subject sub-03 has class 2; there are classes 0 to 1"
		}
		_, err = Open(dir)
		if !errors.Is(err, c.sentinel) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.file) {
			t.Errorf("%s with %s for %s:\n got %v\nwant %s", c.file, abbreviate(c.new), c.old, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("more than one line: %q", err)
		}
	}
}

// A writer in Python has None for a site that it does not know.
func TestSiteMayBeNull(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	writeSample(t, dir)
	name := filepath.Join(dir, HeaderFile)
	text, err := os.ReadFile(name)
	check(t, err)
	check(t, os.WriteFile(name, []byte(strings.Replace(string(text), `"id": "sub-02"`, `"site": null, "id": "sub-02"`, 1)), 0o644))
	r, err := Open(dir)
	check(t, err)
	for _, s := range r.Header.Sets[Train] {
		if s.ID == "sub-02" && s.Site == "" {
			return
		}
	}
	t.Errorf("subjects %+v", r.Header.Sets[Train])
}

func TestOpenNotes(t *testing.T) {
	for _, c := range []struct{ file, old, new, want string }{
		{HeaderFile, `"status": "complete"`, `"status": "running"`, "the run is under way or was killed; epochs recorded: 3 of 3 planned"},
		{HeaderFile, `"epochs_planned": 3`, `"epochs_planned": 5`, "run.json says complete; epochs recorded: 3 of 5 planned"},
		{HeaderFile, `"id": "sub-03"`, `"id": "sub-02"`, "subjects in both train and validation: 1, the first is sub-02"},
		{EpochsFile, "", "", "epochs.jsonl is missing: no epoch is recorded"},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		writeSample(t, dir)
		name := filepath.Join(dir, c.file)
		text, err := os.ReadFile(name)
		check(t, err)
		if c.old == "" {
			check(t, os.Remove(name))
		} else {
			check(t, os.WriteFile(name, []byte(strings.Replace(string(text), c.old, c.new, 1)), 0o644))
		}
		r, err := Open(dir)
		check(t, err)
		if !strings.Contains(strings.Join(r.Notes, "\n"), c.want) {
			t.Errorf("notes %q, want %s", r.Notes, c.want)
		}
	}
}

// What other programs may leave out or write differently.
func TestOpenAccepts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	check(t, os.Mkdir(dir, 0o755))
	check(t, os.WriteFile(filepath.Join(dir, HeaderFile), []byte("\t{\"sets\": {\"train\": []}, \"classes\": [\"a\", \"b\"],\r\n"+
		`"epochs_planned": 0, "status": "interrupted", "creator": "", "format": 1}`), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, EpochsFile), []byte("{ \"evaluations\": [ {\"set\": \"train\", \"view\": \"logged\", "+
		"\"accuracy\": null, \"loss\": 25e-2, \"probabilities\": null } ], \"epoch\": 1, \"step\": 0, \"learning_rate\": null, \"gradient_norm\": \"NaN\" }\r\n"), 0o644))
	r, err := Open(dir)
	check(t, err)
	e := r.Epochs[0].Evaluation(Logged, Train)
	if r.Plan != nil || r.Test != nil || len(r.Notes) != 0 || e.Loss != 0.25 || e.Accuracy == e.Accuracy || e.Probabilities != nil {
		t.Errorf("read %+v", r)
	}
}

func TestCreateRefuses(t *testing.T) {
	parent := t.TempDir()
	check(t, os.WriteFile(filepath.Join(parent, "file"), nil, 0o644))
	for _, c := range []struct {
		dir      string
		change   func(*Header)
		plan     []byte
		sentinel error
		want     string
	}{
		{"", nil, nil, ErrExists, "it holds file; choose another folder"},
		{"file", nil, nil, nil, "not a directory"},
		{"file/run", nil, nil, nil, "not a directory"},
		{"a/b", func(h *Header) { h.Classes = h.Classes[:1] }, nil, ErrInvalid, "1 classes; at least 2 are needed"},
		{"a/b", func(h *Header) { h.Creator = "\xff" }, nil, ErrInvalid, "creator is not UTF-8"},
		{"a/b", func(h *Header) { h.Planned = -1 }, nil, ErrInvalid, "epochs_planned is -1"},
		{"a/b", func(h *Header) { h.Sets["x\xff"] = nil }, nil, ErrInvalid, "is not UTF-8"},
		{"a/b", func(h *Header) { h.Sets[Train][0].Site = "\xff" }, nil, ErrInvalid, "subject sub-01: site"},
		{"a/b", func(h *Header) { h.Sets[Train][0].Class = 7 }, nil, ErrInvalid, "subject sub-01 has class 7"},
		{"a/b", nil, make([]byte, maxPlan+1), ErrInvalid, "a plan of 1048577 bytes"},
		{"a/b", func(h *Header) { h.Creator = strings.Repeat("x", maxHeader) }, nil, ErrInvalid, "run.json of"},
	} {
		header := sampleHeader()
		if c.change != nil {
			c.change(&header)
		}
		_, err := Create(filepath.Join(parent, c.dir), header, c.plan)
		if err == nil || c.sentinel != nil && !errors.Is(err, c.sentinel) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Create(%s): got %v, want %s", c.dir, err, c.want)
		}
		if entries, _ := os.ReadDir(parent); len(entries) != 1 {
			t.Fatalf("a refused Create left %v", entries)
		}
	}
}

func TestCreateKeepsAnEmptyFolder(t *testing.T) {
	dir := t.TempDir()
	if _, err := Create(dir, sampleHeader(), make([]byte, maxPlan+1)); !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("a refused Create left %v, %v", entries, err)
	}
	w, err := Create(dir, sampleHeader(), nil)
	check(t, err)
	defer w.Close()
	r, err := Open(dir)
	check(t, err)
	if r.Plan != nil || len(r.Epochs) != 0 || r.Header.Status != Running {
		t.Errorf("read %+v", r)
	}
}

func TestWriterRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	w, err := Create(dir, sampleHeader(), nil)
	check(t, err)
	check(t, w.Append(sampleEpoch(1)))
	change := func(f func(*Epoch)) error {
		e := sampleEpoch(2)
		f(&e)
		return w.Append(e)
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{change(func(e *Epoch) { e.Epoch = 3 }), "epoch 3 follows epoch 1"},
		{change(func(e *Epoch) { e.Epoch = 1 }), "epoch 1 follows epoch 1"},
		{change(func(e *Epoch) { e.Step = 3 }), "step 3 follows step 4"},
		{change(func(e *Epoch) { e.Evaluations[0].Set = "other" }), "the set is not in run.json"},
		{change(func(e *Epoch) { e.Evaluations[0].View = "\xff" }), "is not UTF-8"},
		{change(func(e *Epoch) { e.Evaluations[0].Accuracy = 2 }), "accuracy is 2"},
		{change(func(e *Epoch) { e.Health = &Health{Layers: []LayerHealth{{Name: "\xff"}}} }), "health: layer"},
		{change(func(e *Epoch) { e.Evaluations[1].Probabilities = []Row{nil} }), "1 rows of probabilities for 2 subjects"},
		{change(func(e *Epoch) { e.Evaluations[1].Probabilities[0] = Row{1} }), "1 probabilities for 3 classes"},
		{change(func(e *Epoch) { e.Evaluations = make([]Evaluation, maxEvaluations+1) }), "65 evaluations; at most 64"},
		{change(func(e *Epoch) { e.Evaluations[0].View = strings.Repeat("v", 1<<20) }), "a line of"},
		{w.WriteTest([]Evaluation{{View: Logged, Set: Train}}), `an evaluation of the set "train"`},
		{w.WriteTest([]Evaluation{{View: Logged, Set: Test}, {View: Logged, Set: Test}}), "two evaluations of view logged"},
		{w.WriteFile("../weights", nil), "is not a slash-separated name inside the run"},
		{w.WriteFile("/weights", nil), "is not a slash-separated name inside the run"},
		{w.WriteFile("a/../b", nil), "is not a slash-separated name inside the run"},
		{w.WriteFile(`a\b`, nil), "is not a slash-separated name inside the run"},
		{w.WriteFile(".", nil), "is not a slash-separated name inside the run"},
		{w.WriteFile("", nil), "is not a slash-separated name inside the run"},
		{w.WriteFile("run.json", nil), "belongs to the run itself"},
		{w.WriteFile("Epochs.jsonl", nil), "belongs to the run itself"},
		{w.WriteFile("test.json", []byte("{}")), "object where an array is expected"},
		{w.WriteFile("test.json", []byte(`[{"view":"logged","set":"train","loss":0,"accuracy":0}]`)), `the set "train"`},
		{w.WriteFile("a.tmp", nil), "marks unfinished files"},
		{w.Finish(Running), `status "running"; want complete, stopped or interrupted`},
		{w.Finish(Complete), "complete with 1 of 3 epochs"},
	} {
		if !errors.Is(c.err, ErrInvalid) || !strings.Contains(c.err.Error(), c.want) || !strings.Contains(c.err.Error(), dir) {
			t.Errorf("got %v, want %s", c.err, c.want)
		}
	}
	check(t, w.Append(sampleEpoch(2)))
	check(t, w.Append(sampleEpoch(3)))
	if err := w.Append(sampleEpoch(4)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "epoch 4 of 3 planned") {
		t.Errorf("a fourth epoch: %v", err)
	}
	check(t, w.Finish(Interrupted))
	for _, err := range []error{w.Append(sampleEpoch(4)), w.WriteTest(nil), w.WriteFile("a", nil), w.Finish(Complete)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("after Finish: %v", err)
		}
	}
	check(t, w.Close())
	r, err := Open(dir)
	check(t, err)
	if len(r.Epochs) != 3 || r.Header.Status != Interrupted {
		t.Errorf("read %d epochs, status %s", len(r.Epochs), r.Header.Status)
	}
	check(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, temporary) {
			t.Errorf("%s is left over", name)
		}
		return err
	}))
}

// A fullDisk writes half of what it is given, then fails.
type fullDisk struct {
	lineFile
	stuck bool // refuses to truncate as well
}

func (f fullDisk) Write(data []byte) (int, error) {
	n, _ := f.lineFile.Write(data[:len(data)/2])
	return n, errors.New("no space left on device")
}

func (f fullDisk) Truncate(size int64) error {
	if f.stuck {
		return errors.New("input/output error")
	}
	return f.lineFile.Truncate(size)
}

func TestAppendOnAFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	w, err := Create(dir, sampleHeader(), nil)
	check(t, err)
	check(t, w.Append(sampleEpoch(1)))
	disk := w.epochs

	w.epochs = fullDisk{lineFile: disk}
	if err := w.Append(sampleEpoch(2)); err == nil || !strings.Contains(err.Error(), "append epoch 2 to run") || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("append on a full disk: %v", err)
	}
	w.epochs = disk // somebody made room
	check(t, w.Append(sampleEpoch(2)))
	r, err := Open(dir)
	check(t, err)
	if len(r.Epochs) != 2 || len(r.Notes) != 1 {
		t.Errorf("%d epochs, notes %q; want the half line taken back", len(r.Epochs), r.Notes)
	}

	w.epochs = fullDisk{lineFile: disk, stuck: true}
	if err := w.Append(sampleEpoch(3)); err == nil || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("append on a broken disk: %v", err)
	}
	if err := w.Append(sampleEpoch(3)); !errors.Is(err, ErrClosed) {
		t.Errorf("append after half a line that stayed: %v", err)
	}
	if r, err = Open(dir); err != nil || len(r.Epochs) != 2 || !strings.Contains(r.Notes[0], "unfinished") {
		t.Errorf("read %+v, %v", r, err)
	}
}

func FuzzOpen(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "run")
	writeSample(f, dir)
	var texts [][]byte
	names := []string{HeaderFile, EpochsFile, TestFile, FingerprintFile, ProbesFile}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		check(f, err)
		texts = append(texts, text)
	}
	f.Add(texts[0], texts[1], texts[2], texts[3], texts[4])
	f.Add([]byte(`{"format":1,"creator":"","status":"running","epochs_planned":0,"classes":["a","b"],"sets":{}}`), []byte(`{"epoch":1`), []byte(`[]`),
		[]byte(`{"format":1,"sets":{}}`), []byte(`{"format":1,"epoch":0,"results":[]}`))
	f.Fuzz(func(t *testing.T, header, epochs, test, fingerprint, probes []byte) {
		dir := t.TempDir()
		for i, text := range [][]byte{header, epochs, test, fingerprint, probes} {
			check(t, os.WriteFile(filepath.Join(dir, names[i]), text, 0o644))
		}
		r, err := Open(dir)
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrFormat) {
				t.Fatalf("an error without its sentinel: %v", err)
			}
			return
		}
		rewrite(t, r)
	})
}

// rewrite writes what was read and reads it again: nothing may change.
func rewrite(t *testing.T, r *Run) {
	dir := filepath.Join(t.TempDir(), "again")
	w, err := Create(dir, r.Header, r.Plan)
	check(t, err)
	for _, e := range r.Epochs {
		check(t, w.Append(e))
	}
	check(t, w.WriteTest(r.Test))
	fingerprint, err := r.Fingerprint.Encode()
	check(t, err)
	check(t, w.WriteFile(FingerprintFile, fingerprint))
	check(t, w.Close())
	check(t, WriteProbes(dir, r.Probes))
	again, err := Open(dir)
	check(t, err)
	again.Header.Status = r.Header.Status
	first, err := encode(*r, "")
	check(t, err)
	again.Notes = r.Notes
	second, err := encode(*again, "")
	check(t, err)
	if string(first) != string(second) {
		t.Errorf("read\n%s, after writing\n%s", first, second)
	}
}
