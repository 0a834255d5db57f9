package web

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"ballast/diagnosis"
	"ballast/run"
)

var update = flag.Bool("update", false, "rewrite testdata from what the tests produce")

func render(t testing.TB, r *run.Run, d *diagnosis.Report) string {
	t.Helper()
	var page bytes.Buffer
	if err := Report(&page, r, d); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

var small = simulation{train: 6, validation: 5, epochs: 6, classes: []string{"no response", "response"}}

var dataURI = regexp.MustCompile(`data:image/png;base64,[A-Za-z0-9+/=]*`)

// decodePicture returns the palette indices of an image in the page.
func decodePicture(t testing.TB, uri string) *image.Paletted {
	t.Helper()
	file, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(uri, "data:image/png;base64,"))
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return picture.(*image.Paletted)
}

// The page of a small run is compared with testdata/report.html, images as
// their pixels, since compressors differ between versions of Go.
func TestGolden(t *testing.T) {
	got := dataURI.ReplaceAllStringFunc(render(t, small.run(), sampleDiagnosis()), func(uri string) string {
		return fmt.Sprintf("pixels %x", decodePicture(t, uri).Pix)
	})
	golden := filepath.Join("testdata", "report.html")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Fatalf("line %d is\n%s\nwant\n%s\n(go test ./web -update accepts it)", i+1, gotLines[i], wantLines[i])
		}
	}
	t.Fatalf("%d lines, want %d (go test ./web -update accepts it)", len(gotLines), len(wantLines))
}

var raw = regexp.MustCompile(`(?s)(<style>).*?(</style>)|(<script>).*?(</script>)`)

// wellFormed parses a page strictly: every element closed, nested properly,
// attributes quoted.
func wellFormed(page string) error {
	decoder := xml.NewDecoder(strings.NewReader(raw.ReplaceAllString(page, "$1$2$3$4")))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// edgeCases are runs that lack something.
func edgeCases() map[string]*run.Run {
	none := small
	none.epochs = 0
	one := small
	one.epochs = 1
	three := simulation{train: 9, validation: 8, epochs: 30, classes: []string{"a", "b", "c"}, batchNorm: true}
	long := simulation{train: 4, validation: 3, epochs: 1500, classes: []string{"a", "b"}}

	interrupted := one.run()
	interrupted.Header.Status, interrupted.Header.Planned = run.Interrupted, 50

	stopped := one.run()
	stopped.Header.Status, stopped.Header.Planned = run.Stopped, 50

	curvesOnly := three.run()
	diverged := three.run()
	subset := three.run()
	onlyDeterministic := three.run()
	for i := range curvesOnly.Epochs {
		for j := range curvesOnly.Epochs[i].Evaluations {
			curvesOnly.Epochs[i].Evaluations[j].Probabilities = nil
			e := &diverged.Epochs[i].Evaluations[j]
			if i >= 5 {
				e.Loss = run.Float(math.NaN())
				for _, row := range e.Probabilities {
					row[0] = float32(math.NaN())
				}
			}
		}
		subset.Epochs[i].Evaluation(run.Logged, run.Validation).Probabilities[i%8] = nil
		onlyDeterministic.Epochs[i].Evaluation(run.Logged, run.Validation).Probabilities = nil
	}
	allNaN := one.run()
	for j := range allNaN.Epochs[0].Evaluations {
		allNaN.Epochs[0].Evaluations[j].Loss = run.Float(math.Inf(1))
		allNaN.Epochs[0].Evaluations[j].Accuracy = run.Float(math.NaN())
	}
	noSubjects := curvesOnlyWithoutSubjects(three.run())
	zeroLoss := three.run()
	for i := range zeroLoss.Epochs {
		zeroLoss.Epochs[i].Evaluations[0].Loss = 0
	}
	tested := three.run()
	tested.Header.Sets[run.Test] = []run.Subject{{ID: "sub-900", Class: 2, Images: 1}}
	tested.Test = []run.Evaluation{{View: run.Deterministic, Set: run.Test, Loss: 0.25, Accuracy: 1}}
	return map[string]*run.Run{
		"none": none.run(), "one": one.run(), "three": three.run(), "long": long.run(), "interrupted": interrupted,
		"stopped": stopped, "of averages": ofAverages(three.run()),
		"curves only": curvesOnly, "diverged": diverged, "subset": subset, "only deterministic": onlyDeterministic,
		"all NaN": allNaN, "no subjects": noSubjects, "zero loss": zeroLoss, "tested": tested, "empty": {},
	}
}

// ofAverages is a run whose logged validation curve is that of its averaged weights.
func ofAverages(r *run.Run) *run.Run {
	for i := range r.Epochs {
		averaged := *r.Epochs[i].Evaluation(run.Averaged, run.Validation)
		averaged.View = run.Logged
		*r.Epochs[i].Evaluation(run.Logged, run.Validation) = averaged
	}
	return r
}

func curvesOnlyWithoutSubjects(r *run.Run) *run.Run {
	for i := range r.Epochs {
		for j := range r.Epochs[i].Evaluations {
			r.Epochs[i].Evaluations[j].Probabilities = nil
		}
	}
	r.Header.Sets = map[string][]run.Subject{run.Train: {}, run.Validation: {}}
	return r
}

// Whatever a run lacks, the page is well formed, says so, and never prints a
// number that is none.
func TestEdgeCases(t *testing.T) {
	says := map[string][]string{
		"none":               {"No accuracy was recorded.", "no predictions per subject"},
		"one":                {"1 epoch"},
		"interrupted":        {"1 of 50 planned", "interrupted"},
		"stopped":            {"1 of 50 planned", "stopped"},
		"of averages":        {"present weights", "which the logged curve averages"},
		"curves only":        {"no predictions per subject"},
		"diverged":           {"In 25 epochs a loss was not a finite number"},
		"subset":             {"the draw of 7 subjects changed", "right after"},
		"only deterministic": {"Drawn for the view deterministic"},
		"all NaN":            {"No accuracy was recorded."},
		"zero loss":          {"Mean cross-entropy in nats."},
		"tested":             {"Test set, evaluated once at the end", "100.0 %", "1 (0 a, 0 b, 1 c)"},
		"long":               {"750 of 1500 epochs are drawn."},
		"three":              {"a, 3 subjects", "c, 3 subjects"},
	}
	for name, r := range edgeCases() {
		for _, d := range []*diagnosis.Report{nil, {}, sampleDiagnosis()} {
			page := render(t, r, d)
			if err := wellFormed(page); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, text := range says[name] {
				if !strings.Contains(page, text) && !strings.Contains(page, glue(text)) {
					t.Errorf("%s: the page does not say %q", name, text)
				}
			}
			body := raw.ReplaceAllString(dataURI.ReplaceAllString(page, ""), "")
			for _, nonsense := range []string{"NaN", "Inf", "%!", "&lt;nil&gt;"} {
				if strings.Contains(body, nonsense) {
					t.Errorf("%s: the page contains %s", name, nonsense)
				}
			}
		}
	}
}

func TestPageHoldsEverySubjectAndFinding(t *testing.T) {
	r, d := small.run(), sampleDiagnosis()
	page := render(t, r, d)
	for _, s := range r.Header.Sets[run.Validation] {
		if !strings.Contains(page, `<th scope="row">`+s.ID+`</th>`) || !strings.Contains(page, ">"+s.ID+"</text>") {
			t.Errorf("subject %s is missing", s.ID)
		}
	}
	for _, f := range d.Findings {
		if !strings.Contains(page, `id="`+f.ID+`"`) || !strings.Contains(page, f.Title) {
			t.Errorf("finding %s is missing", f.ID)
		}
		for _, e := range f.Evidence {
			if !strings.Contains(page, glue(e.Text)) {
				t.Errorf("finding %s: the evidence %q is missing", f.ID, e.Text)
			}
		}
	}
	for _, text := range append(append(r.Notes, d.Notes...), d.Summary...) {
		if !strings.Contains(page, glue(text)) {
			t.Errorf("%q is missing", text)
		}
	}
	for _, text := range []string{"8.4 points", "6.2 to 10.9", "−8 %", "−30 to 12", "0.210 nats", "momentum: 0.5\n  norm: none", "grid: [32, 32, 32]", "cannot tell", "ruled out", "name: cnn4", "a jitter of 8.4 points"} {
		if !strings.Contains(page, text) {
			t.Errorf("%q is missing", text)
		}
	}
}

// Every drawing parses as XML by itself, and names and describes itself.
func TestDrawingsAreDescribed(t *testing.T) {
	page := render(t, small.run(), sampleDiagnosis())
	drawings := regexp.MustCompile(`(?s)<svg xmlns="[^"]*" role="img".*?aria-labelledby="(\S+) (\S+)">`).FindAllStringSubmatch(page, -1)
	if len(drawings) != 5 { // accuracy, loss, budget, two blocks of the flip map
		t.Fatalf("%d drawings", len(drawings))
	}
	for _, d := range drawings {
		for _, element := range []string{`<title id="` + d[1] + `">`, `<desc id="` + d[2] + `">`} {
			at := strings.Index(page, element)
			if at < 0 || strings.HasPrefix(page[at+len(element):], "<") {
				t.Errorf("%s is missing or empty", element)
			}
		}
	}
	c := accuracyChart(small.run(), newChanceBand(small.run()))
	if err := wellFormed(string(c.svg())); err != nil {
		t.Error(err)
	}
}

// Nothing that a run or a diagnosis says becomes markup.
func TestEscaping(t *testing.T) {
	const attack = `<script>alert("1")</script>'&amp;` + "\x00\x1b\xff"
	hostile := small
	hostile.classes = []string{attack, attack + "2"}
	hostile.ids = func(i int) string { return fmt.Sprint(i, attack) }
	r := hostile.run()
	r.Header.Creator, r.Header.Status = attack, attack
	r.Plan = []byte("</code>" + attack)
	r.Notes = []string{attack}
	for set, subjects := range r.Header.Sets {
		for i := range subjects {
			subjects[i].Site = attack
		}
		r.Header.Sets[set+attack] = subjects
	}
	r.Test = []run.Evaluation{{View: attack}}
	d := sampleDiagnosis()
	d.Summary, d.Notes = []string{attack}, []string{attack}
	d.Budget[0].Source, d.Budget[1].Includes = attack, []string{attack}
	d.Budget[0].Share = 0.5
	d.Views[0].View = attack
	f := &d.Findings[0]
	f.ID, f.Title, f.Explain, f.Verdict, f.Of = attack, attack, attack, attack, attack
	f.Evidence[0].Text, f.Treatment.Text = attack, attack
	f.Treatment.Plan = map[string]any{attack: attack}
	page := render(t, r, d)
	if count := strings.Count(page, "<script"); count != 1 {
		t.Errorf("%d scripts in the page, want only its own", count)
	}
	if strings.Contains(page, "alert(\"1\")") || strings.Contains(page, "</code>&lt;") && strings.Contains(page, "</code><") {
		t.Error("the page holds text of the run as markup")
	}
	if err := wellFormed(strings.NewReplacer("\x00", "", "\x1b", "", "\xff", "").Replace(page)); err != nil {
		t.Error(err)
	}
	drawing := page[strings.Index(page, "<svg xmlns"):]
	drawing = drawing[:strings.Index(drawing, "<output>")]
	if !utf8.ValidString(drawing) || strings.ContainsAny(drawing, "\x00\x1b") {
		t.Error("a drawing holds control characters or broken UTF-8")
	}
}

// A cohort of 500 validation subjects and 200 epochs stays small.
func TestSize(t *testing.T) {
	large := simulation{train: 5, validation: 500, epochs: 200, classes: []string{"no", "yes"}}
	if size := len(render(t, large.run(), sampleDiagnosis())); size > 500_000 {
		t.Errorf("the page has %d bytes, more than 500,000", size)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestReportTellsOfWriteErrors(t *testing.T) {
	err := Report(brokenWriter{}, small.run(), nil)
	if err == nil || err.Error() != "write the report: no space left on device" {
		t.Errorf("got %v", err)
	}
}
