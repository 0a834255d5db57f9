package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ballast/run"
)

// What split writes is what train uses, from the table, from the datalist and
// from the cohort itself.
func TestSplitAgreesWithTrain(t *testing.T) {
	dir := writePhantom(t, 24)
	files := t.TempDir()
	datalist, table := filepath.Join(files, "split.json"), filepath.Join(files, "split.tsv")
	text := mustBallast(t, "split", dir, "--seed", "7", "--monai", datalist, "--table", table, "--quiet")
	if !strings.Contains(text, "validation") || !strings.Contains(text, "ballast train "+table) || !strings.Contains(text, "load_decathlon_datalist") {
		t.Errorf("split prints\n%s", text)
	}
	var summary struct {
		Sets []struct {
			Name     string
			Subjects []string
		}
	}
	if err := json.Unmarshal([]byte(mustBallast(t, "split", dir, "--seed", "7", "--json")), &summary); err != nil {
		t.Fatal(err)
	}
	if len(summary.Sets) != 2 || len(summary.Sets[0].Subjects) != 18 || len(summary.Sets[1].Subjects) != 6 {
		t.Fatalf("split --json: %+v", summary)
	}
	for _, source := range [][]string{{dir, "--seed", "7"}, {table}, {datalist}} {
		out := filepath.Join(t.TempDir(), "run")
		mustBallast(t, append(append([]string{"train", "--out", out, "--set", "prep.crop=none", "--set", "prep.grid=[8,8,8]"}, source...), quick...)...)
		r, err := run.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, subject := range r.Header.Sets[run.Validation] {
			ids = append(ids, subject.ID)
		}
		if got, want := strings.Join(ids, " "), strings.Join(summary.Sets[1].Subjects, " "); got != want {
			t.Errorf("%s validates on %s, split says %s", source[0], got, want)
		}
	}
}

func TestSplitFolds(t *testing.T) {
	dir := writePhantom(t, 24)
	table := filepath.Join(t.TempDir(), "folds.csv")
	text := mustBallast(t, "split", dir, "--folds", "3", "--set", "split.stratify=[label, site]", "--table", table, "--quiet")
	if !strings.Contains(text, "fold 2") || !strings.Contains(text, "--set split.fold=0") {
		t.Errorf("split --folds prints\n%s", text)
	}
	if text := mustBallast(t, "split", table, "--set", "split.fold=1", "--quiet"); !strings.Contains(text, "16       16") {
		t.Errorf("fold 1 of a written table:\n%s", text)
	}
}

func TestSplitRefuses(t *testing.T) {
	dir := writePhantom(t, 16)
	there := filepath.Join(dir, "participants.tsv")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--table", there}, exitFailed, "it exists"},
		{[]string{"--table", filepath.Join(dir, "split.xlsx")}, exitUsage, ".tsv or .csv"},
		{[]string{"--monai", ""}, exitUsage, "ends in .json"},
		{[]string{"--monai", filepath.Join(dir, "absent", "split.json")}, exitFailed, "no such file"},
		{[]string{"--folds", "1"}, exitUsage, "--folds is 1"},
		{[]string{"--folds", "5"}, exitFailed, "the validation set has"},
		{[]string{"--set", "split.leave_out=Mars"}, exitFailed, `no subject is of site "Mars"`},
		{[]string{"--set", "split.leave_out=Mars", "--set", "split.test=0.2"}, exitUsage, "split.leave_out makes Mars the test set"},
		{[]string{"--set", "split.stratify=[colour]"}, exitFailed, `"colour", which no subject has`},
		{[]string{"--set", "split.fold=1"}, exitFailed, `no subject is of fold "1"`},
	} {
		code, stdout, stderr := ballast(t, append([]string{"split", dir, "--quiet"}, c.args...)...)
		if code != c.code || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("split %v: exit %d (want %d), stdout %q, stderr %q (want %q)", c.args, code, c.code, stdout, stderr, c.want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".ballast") || strings.HasPrefix(entry.Name(), "split") {
			t.Errorf("%s was left behind", entry.Name())
		}
	}
}

// Every kind of cohort that docs/cohorts.md describes trains.
func TestTrainSources(t *testing.T) {
	phantoms := writePhantom(t, 24)
	// The same images as a BIDS tree with two sequences and sidecars.
	tree, others := t.TempDir(), filepath.Join(t.TempDir(), "others")
	mustBallast(t, "phantom", others, "--subjects", "24", "--size", "16", "--seed", "9", "--quiet")
	participants := "participant_id\tlabel\n"
	table := strings.Split(strings.TrimSpace(string(readFile(t, filepath.Join(phantoms, "participants.tsv")))), "\n")
	for n, line := range table[1:] {
		id, _, _ := strings.Cut(line, "\t")
		participants += id + "\t" + []string{"no", "yes"}[n%2] + "\n"
		for suffix, from := range map[string]string{"T1w": phantoms, "FLAIR": others} {
			content := readFile(t, filepath.Join(from, "images", id+"_T1w.nii.gz"))
			writeFile(t, filepath.Join(tree, id, "ses-1", "anat", id+"_ses-1_"+suffix+".nii.gz"), content)
		}
		// A second session, whose image must not count when the first is asked for.
		writeFile(t, filepath.Join(tree, id, "ses-2", "anat", id+"_ses-2_T1w.nii.gz"), []byte("not an image "+id))
	}
	writeFile(t, filepath.Join(tree, "participants.tsv"), []byte(participants))
	for _, c := range []struct {
		name string
		args []string
		plan string
	}{
		{"BIDS, two sequences, first session", []string{tree, "--sequences", "T1w,FLAIR", "--session", "first", "--set", "prep.grid=[8,8,8]"}, "sequences: [T1w, FLAIR]"},
		{"archive of arrays", []string{filepath.Join("..", "..", "cohort", "testdata", "numpy", "grey.npz"), "--set", "prep.grid=[8,8]"}, "path: [images]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "run")
			mustBallast(t, append(append([]string{"train", "--out", out, "--set", "prep.crop=none"}, c.args...), quick...)...)
			if text := string(readFile(t, filepath.Join(out, "plan.yaml"))); !strings.Contains(text, c.plan) {
				t.Errorf("the plan lacks %q:\n%s", c.plan, text)
			}
		})
	}
}

// A folder of DICOM slices per patient in a folder per class trains as it is. The
// patients are copies of one real series, each with one pixel changed, so that no
// two have the same content.
func TestTrainDICOMFolders(t *testing.T) {
	series := sharedData(t, filepath.Join("formats", "dicom", "sts025_series"))
	slices, err := os.ReadDir(series)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for n := range 12 {
		patient := filepath.Join(dir, []string{"benign", "malignant"}[n%2], string(rune('a'+n)))
		for k, slice := range slices {
			content := readFile(t, filepath.Join(series, slice.Name()))
			if k == 3 {
				content[len(content)-2*n-2] ^= 1 // pixels come last in an uncompressed file
			}
			writeFile(t, filepath.Join(patient, slice.Name()), content)
		}
	}
	out := filepath.Join(t.TempDir(), "run")
	mustBallast(t, append([]string{"train", dir, "--out", out, "--set", "prep.grid=[8,8,8]"}, quick...)...)
	r, err := run.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Header.Sets[run.Train]) != 8 || len(r.Header.Sets[run.Validation]) != 4 || r.Header.Sets[run.Train][0].Images != 1 {
		t.Errorf("%d training and %d validation subjects", len(r.Header.Sets[run.Train]), len(r.Header.Sets[run.Validation]))
	}
}
