package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ballast/cohort"
	"ballast/prep"
	"ballast/run"
	"ballast/train"
)

// looked is what look --json prints.
func looked(t *testing.T, args ...string) *contactSheet {
	t.Helper()
	var sheet contactSheet
	if err := json.Unmarshal([]byte(mustBallast(t, append([]string{"look", "--json", "--quiet"}, args...)...)), &sheet); err != nil {
		t.Fatal(err)
	}
	return &sheet
}

// picture reads a PNG.
func picture(t *testing.T, file string) image.Image {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

// strong augments every image by everything.
var strong = []string{
	"--set", "augment.preset=mri", "--set", "augment.affine.probability=1", "--set", "augment.motion.probability=1",
	"--set", "augment.rician.probability=1", "--set", "augment.elastic.probability=1",
}

// look RUN shows the very bits that training made of the images: those of
// train.Load, Plan.DrawOf and prep.Apply.
func TestLookAtARun(t *testing.T) {
	dir, folder := writePhantom(t, 16), t.TempDir()
	out, sheetFile := filepath.Join(folder, "run"), filepath.Join(folder, "sheet.png")
	mustBallast(t, slices.Concat([]string{"train", dir, "--out", out}, quick, strong)...)
	r, plan, config, err := train.OpenForReplay(out)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cohort.Open(dir, cohort.Options(plan.Data))
	if err != nil {
		t.Fatal(err)
	}
	split, err := c.SplitBy(plan.Seed, plan.Split.Options())
	if err != nil {
		t.Fatal(err)
	}
	images, err := train.Load(context.Background(), c, split, plan, train.Reading{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	const at, epoch = 5, 2
	sample := images.Train.Samples[at]
	subject := images.Train.Subjects[sample.Subject]
	if r.Header.Sets[run.Train][sample.Subject].ID != subject.ID || config.Grid[1] != sample.Image.H {
		t.Fatal("the run is of another cohort")
	}
	sheet := looked(t, out, "--cohort", dir, "--subject", subject.ID, "--epoch", fmt.Sprint(epoch), "--augment", "2", "--out", sheetFile)
	if len(sheet.Images) != 1 || sheet.Images[0].Sample != at || len(sheet.Images[0].Epochs) != 2 {
		t.Fatalf("%+v", sheet.Images)
	}
	row := sheet.Images[0]
	if want := factsOf(sample.Image.Data); row.Seen != want {
		t.Errorf("prepared: %+v, want %+v", row.Seen, want)
	}
	for n, shown := range row.Epochs {
		changed := make([]float32, len(sample.Image.Data))
		prep.Apply(changed, sample.Image, plan.DrawOf(at, epoch+n))
		if want := factsOf(changed); shown.Seen != want || shown.Epoch != epoch+n || shown.Seen.SHA256 == row.Seen.SHA256 {
			t.Errorf("epoch %d: %+v, want %+v", shown.Epoch, shown.Seen, want)
		}
	}
	// A sheet of the cohort by the plan of the run shows the same.
	again := looked(t, dir, "--plan", filepath.Join(out, "plan.yaml"), "--subject", subject.ID, "--epoch", fmt.Sprint(epoch), "--augment", "1", "--out", filepath.Join(folder, "cohort.png"))
	if again.Images[0].Epochs[0].Seen != row.Epochs[0].Seen {
		t.Error("the cohort's sheet differs from the run's")
	}
	if size := picture(t, sheetFile).Bounds().Size(); size.X < 500 || size.Y < 150 {
		t.Errorf("a sheet of %v pixels", size)
	}
}

// The rows of a sheet are the images of train.Load with the same index, also
// where a volume becomes many slices.
func TestLookShowsTheImagesOfTraining(t *testing.T) {
	dir := writePhantom(t, 16)
	for _, set := range []string{"prep.slice=all", "prep.standardise=nyul"} {
		out := filepath.Join(t.TempDir(), "run")
		mustBallast(t, slices.Concat([]string{"train", dir, "--out", out, "--set", set}, quick)...)
		_, plan, config, err := train.OpenForReplay(out)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cohort.Open(dir, cohort.Options(plan.Data))
		if err != nil {
			t.Fatal(err)
		}
		split, err := c.SplitBy(plan.Seed, plan.Split.Options())
		if err != nil {
			t.Fatal(err)
		}
		images, err := train.Load(context.Background(), c, split, plan, train.Reading{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		png := filepath.Join(t.TempDir(), "sheet.png")
		for _, args := range [][]string{{dir, "--set", set}, {out, "--cohort", dir}} {
			sheet := looked(t, append(args, "--out", png)...)
			if len(sheet.Images) < 4 || sheet.Grid != config.Grid {
				t.Errorf("%s: %d images on the grid %v, want %v", set, len(sheet.Images), sheet.Grid, config.Grid)
			}
			for _, row := range sheet.Images {
				sample := images.Train.Samples[row.Sample]
				if images.Train.Subjects[sample.Subject].ID != row.Subject || factsOf(sample.Image.Data) != row.Seen {
					t.Errorf("%s: image %d of %s is not sample %d", set, row.Image, row.Subject, row.Sample)
				}
			}
		}
	}
}

// What was recorded is replayed to the same bits, whatever the plan says; the
// sheet is the same file every time.
func TestLookRecordsAndReplays(t *testing.T) {
	dir, folder := writePhantom(t, 16), t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	first := looked(t, slices.Concat([]string{dir, "--out", file("a.png"), "--record", file("draws.json")}, strong)...)
	looked(t, slices.Concat([]string{dir, "--out", file("b.png")}, strong)...)
	replayed := looked(t, dir, "--out", file("c.png"), "--replay", file("draws.json"))
	if len(first.Images) < 4 || len(first.Images) != len(replayed.Images) {
		t.Fatalf("%d images, then %d", len(first.Images), len(replayed.Images))
	}
	for n, row := range first.Images {
		if len(row.Epochs) != 3 || row.Set != run.Train {
			t.Errorf("%s: %d epochs, set %s", row.Subject, len(row.Epochs), row.Set)
		}
		for e, epoch := range row.Epochs {
			if other := replayed.Images[n].Epochs[e]; other.Seen != epoch.Seen || other.Epoch != epoch.Epoch {
				t.Errorf("%s, epoch %d: the replay differs", row.Subject, epoch.Epoch)
			}
		}
	}
	a, _ := os.ReadFile(file("a.png"))
	for _, name := range []string{"b.png", "c.png"} {
		if other, err := os.ReadFile(file(name)); err != nil || !bytes.Equal(a, other) {
			t.Errorf("%s differs from a.png: %v", name, err)
		}
	}
	for _, class := range []string{"responder", "non-responder"} {
		if !slices.ContainsFunc(first.Images, func(row *lookRow) bool { return row.Class == class }) {
			t.Errorf("no image of class %s", class)
		}
	}
}

func TestLookRefuses(t *testing.T) {
	dir, folder := writePhantom(t, 16), t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	out := filepath.Join(folder, "run")
	mustBallast(t, append([]string{"train", dir, "--out", out}, quick...)...)
	other := writePhantom(t, 4)
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"a run without its cohort", []string{out}, exitUsage, "--cohort"},
		{"another cohort", []string{out, "--cohort", other}, exitFailed, "is not the cohort of"},
		{"a plan for a run", []string{out, "--cohort", dir, "--set", "seed=3"}, exitUsage, "a run has its own plan"},
		{"a column for a run", []string{out, "--cohort", dir, "--label", "label"}, exitUsage, "a run has its own plan"},
		{"an unknown column", []string{dir, "--label", "nothing"}, exitFailed, "nothing"},
		{"a cohort of a cohort", []string{dir, "--cohort", dir}, exitUsage, "is no run"},
		{"an unknown subject", []string{dir, "--subject", "sub-99"}, exitUsage, `"sub-99"`},
		{"too many epochs", []string{dir, "--augment", "99"}, exitUsage, "--augment is 99"},
		{"epoch 0", []string{dir, "--epoch", "0"}, exitUsage, "--epoch is 0"},
		{"record and replay", []string{dir, "--record", "a", "--replay", "b"}, exitUsage, "choose one"},
		{"an unknown preset", []string{dir, "--set", "augment.preset=heavy"}, exitUsage, "light, mri, none"},
		{"no draws", []string{dir, "--replay", filepath.Join(folder, "none.json")}, exitFailed, "read draws"},
		{"no JSON", []string{dir, "--replay", file("text.json", "hello")}, exitFailed, "not a record of draws"},
		{"another format", []string{dir, "--replay", file("format.json", `{"format":2,"draws":[]}`)}, exitFailed, "format 2"},
		{"draws of others", []string{dir, "--replay", file("others.json", `{"format":1,"draws":[]}`)}, exitFailed, "none of its 0 draws"},
		{"a draw that does not fit", []string{dir, "--subject", "sub-0001", "--replay",
			file("misfit.json", `{"format":1,"draws":[{"subject":"sub-0001","image":0,"epoch":1,"draw":{"gamma":{"gamma":[1,2]}}}]}`)}, exitFailed, "2 exponents for 1 channels"},
		{"a table in the way", []string{dir, "--out", file("table.png", "subject\tlabel\n")}, exitFailed, "another kind"},
	} {
		code, stdout, stderr := ballast(t, append([]string{"look", "--quiet"}, c.args...)...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d (want %d), %q", c.name, code, c.code, stderr)
		}
	}
}

// The planes keep the shape of the body: a box of 40 x 20 x 10 mm on voxels of
// 5 x 1 x 2 mm is drawn with sides of 4 to 2 to 1, its bright corner where the
// patient's right, front and top belong.
func TestPlanesAreNotDistorted(t *testing.T) {
	size, spacing := [3]int{8, 20, 5}, [3]float64{5, 1, 2}
	data := make([]float32, 8*20*5)
	data[(7*20+19)*5+4] = 1 // top, front, right
	s := &contactSheet{Grid: size, Spacing: spacing, anatomical: true}
	planes := s.planes(data, size, spacing, [3]int{7, 19, 4})
	for n, want := range []struct{ width, height int }{{10, 20}, {10, 40}, {20, 40}} {
		c := cell{longest: 40, planes: planes}
		if width, height := c.pixels(planes[n]); width != want.width || height != want.height {
			t.Errorf("plane %d is %d x %d pixels, want %d x %d", n, width, height, want.width, want.height)
		}
		if planes[n].values[0] != 1 {
			t.Errorf("plane %d: right, front and top are not at its upper left", n)
		}
	}
	flat := &contactSheet{Grid: [3]int{1, 2, 3}, Spacing: [3]float64{1, 1, 1}, anatomical: true}
	if p := flat.planes([]float32{0, 1, 2, 3, 4, 5}, flat.Grid, flat.Spacing, [3]int{}); len(p) != 1 || !slices.Equal(p[0].values, []float32{0, 1, 2, 3, 4, 5}) {
		t.Errorf("a slice becomes %+v", p)
	}
}

// Epochs that do not fit side by side are continued in further lines, with their
// numbers.
func TestManyEpochs(t *testing.T) {
	dir := writePhantom(t, 16)
	few, many := filepath.Join(t.TempDir(), "few.png"), filepath.Join(t.TempDir(), "many.png")
	looked(t, dir, "--images", "1", "--augment", "4", "--out", few)
	sheet := looked(t, dir, "--images", "1", "--augment", "9", "--out", many)
	a, b := picture(t, few).Bounds().Size(), picture(t, many).Bounds().Size()
	if b.Y < 2*a.Y || b.X > a.X+a.X/4 {
		t.Errorf("four epochs take %v pixels, nine %v", a, b)
	}
	if told := sheet.told(sheet.Images[0].Epochs[8], 8); !strings.HasPrefix(told, "epoch 9, ") {
		t.Errorf("the caption of the ninth epoch is %q", told)
	}
}

// Pixels that cover several voxels or parts of them share them out completely.
func TestCoverage(t *testing.T) {
	for _, c := range [][2]int{{1, 1}, {1, 7}, {7, 1}, {5, 13}, {13, 5}, {48, 132}, {240, 132}} {
		total := make([]float64, c[0])
		for _, pixel := range coverage(c[0], c[1]) {
			sum := 0.0
			for n, weight := range pixel.weights {
				sum += weight
				total[pixel.first+n] += weight
			}
			if !(math.Abs(sum-1) <= 1e-9) {
				t.Errorf("%v: a pixel's weights add up to %v", c, sum)
			}
		}
		for voxel, sum := range total {
			if want := float64(c[1]) / float64(c[0]); !(math.Abs(sum-want) <= 1e-9) {
				t.Errorf("%v: voxel %d counts %v, want %v", c, voxel, sum, want)
			}
		}
	}
}

func TestLookOnSharedCohorts(t *testing.T) {
	if testing.Short() {
		t.Skip("reads real images: skipped in short mode")
	}
	for _, c := range []struct {
		name string
		rows int
		args []string
	}{
		{"sts-lungmets", 8, []string{"--set", "prep.grid=[16,16,16]", "--set", "prep.spacing=[12,12,12]"}},
		{"cheng-brain-tumour", 12, []string{"--set", "prep.grid=[32,32]", "--set", "prep.spacing=[5,5]", "--label", "label", "--set", "data.subject=patient_group"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sheet := looked(t, slices.Concat([]string{sharedData(t, c.name), "--out", filepath.Join(t.TempDir(), "sheet.png")}, c.args)...)
			if len(sheet.Images) != c.rows {
				t.Errorf("%d rows, want %d", len(sheet.Images), c.rows)
			}
			if size := picture(t, sheet.File).Bounds().Size(); size.X < 900 || size.Y < 1000 {
				t.Errorf("a sheet of %v pixels", size)
			}
		})
	}
}

// Every key of a record is on the page that describes it.
func TestRecordIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/augmentation.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	var visit func(kind reflect.Type)
	visit = func(kind reflect.Type) {
		for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice {
			kind = kind.Elem()
		}
		if kind.Kind() != reflect.Struct {
			return
		}
		for i := range kind.NumField() {
			key, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
			if seen++; key == "" || !strings.Contains(string(page), "`"+key+"`") && !strings.Contains(string(page), `"`+key+`"`) {
				t.Errorf("docs/augmentation.md does not name %s.%s", kind, key)
			}
			visit(kind.Field(i).Type)
		}
	}
	visit(reflect.TypeFor[recordedDraws]())
	if seen < 40 {
		t.Errorf("only %d keys", seen)
	}
}

func FuzzReadDraws(f *testing.F) {
	f.Add([]byte(`{"format":1,"draws":[{"subject":"a","image":0,"epoch":1,"draw":{"flip":[true,false,false],"shift":[1,2,3],"noise":{"sigma":[0.1],"seed":"7"}}}]}`))
	f.Add([]byte(`{"format":1,"draws":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		record, err := parseDraws(text)
		if err == nil && record.Format != drawsFormat {
			t.Errorf("format %d passed", record.Format)
		}
	})
}
