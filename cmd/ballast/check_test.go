package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ballast/phantom"
)

type checkReport struct {
	Format   int
	Findings []struct{ ID, Level, Problem, Fix string }
	Print    struct{ Subjects, Images int } `json:"fingerprint"`
	Pairs    []struct{ Subjects [2]string }
	Proposal []struct{ Key, Value, Reason string }
}

func checkJSON(t *testing.T, args ...string) checkReport {
	t.Helper()
	var r checkReport
	if err := json.Unmarshal([]byte(mustBallast(t, append([]string{"check", "--json", "--quiet"}, args...)...)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *checkReport) has(id string) bool {
	return slices.ContainsFunc(r.Findings, func(f struct{ ID, Level, Problem, Fix string }) bool { return f.ID == id })
}

func writeFaulty(t *testing.T, args ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cohort")
	mustBallast(t, append([]string{"phantom", dir, "--quiet", "--size", "16"}, args...)...)
	return dir
}

func TestCheck(t *testing.T) {
	dir := writeFaulty(t, "--subjects", "24", "--copies", "2", "--sites", "2", "--site-shortcut", "1")
	page := filepath.Join(t.TempDir(), "check.html")
	r := checkJSON(t, dir, "--html", page)
	if r.Format != 1 || r.Print.Subjects != 24 || len(r.Pairs) != 2 || !r.has("duplicate") || !r.has("site-shortcut") || len(r.Proposal) < 8 {
		t.Errorf("%+v", r)
	}
	html, err := os.ReadFile(page)
	if err != nil || strings.Count(string(html), "data:image/png") < 4 {
		t.Errorf("page of %d bytes: %v", len(html), err)
	}
	text := mustBallast(t, "check", dir, "--quiet")
	if !strings.HasPrefix(text, dir) || !strings.Contains(text, "error duplicate: ") {
		t.Errorf("%s", text)
	}
}

func TestCheckExitCodes(t *testing.T) {
	clean, faulty := writeFaulty(t, "--subjects", "40"), writeFaulty(t, "--subjects", "24", "--copies", "1")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{clean}, exitDone, ""},
		{[]string{clean, "--fail-on", "warning"}, exitDone, ""},
		{[]string{faulty}, exitDone, ""},
		{[]string{faulty, "--fail-on", "error"}, exitFindings, "1 error"},
		{[]string{faulty, "--fail-on", "warning"}, exitFindings, "--fail-on warning"},
		{[]string{faulty, "--fail-on", "fatal"}, exitUsage, "note, warning, error"},
		{[]string{faulty, "--fail-on", ""}, exitUsage, "note, warning, error"},
		{[]string{filepath.Join(clean, "absent")}, exitFailed, "absent"},
		{[]string{t.TempDir()}, exitFailed, "no cohort here"},
		{[]string{clean, "--html", t.TempDir()}, exitFailed, "it is a folder"},
		{[]string{}, exitUsage, "needs one cohort"},
	} {
		code, _, stderr := ballast(t, append([]string{"check", "--quiet"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("check %v: exit %d, want %d\n%s", c.args, code, c.code, stderr)
		}
	}
}

// A subject in two sets, which train refuses, is a finding with its name.
func TestCheckOverlap(t *testing.T) {
	dir := writeFaulty(t, "--subjects", "24", "--overlap", "2")
	r := checkJSON(t, dir)
	if !r.has("subject-in-two-sets") || !strings.Contains(r.Findings[0].Problem, "sub-0001") {
		t.Errorf("%+v", r.Findings)
	}
	if code, _, stderr := ballast(t, "train", dir, "--quiet"); code != exitFailed || !strings.Contains(stderr, "sub-0001") {
		t.Errorf("train: exit %d\n%s", code, stderr)
	}
}

// A table without images is checked as far as it goes.
func TestCheckTableAlone(t *testing.T) {
	table := filepath.Join(t.TempDir(), "table.csv")
	text := "pid,label,centre\n"
	for n := range 30 {
		text += strings.Join([]string{"p" + string(rune('A'+n/10)) + string(rune('0'+n%10)), []string{"x", "y"}[n%2], []string{"north", "south"}[n%2]}, ",") + "\n"
	}
	if err := os.WriteFile(table, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := checkJSON(t, table)
	if !r.has("no-images") || !r.has("site-shortcut") || r.Print.Subjects != 30 {
		t.Errorf("%+v", r.Findings)
	}
}

func TestInit(t *testing.T) {
	dir := writePhantom(t, 32)
	plan := filepath.Join(t.TempDir(), "plan.yaml")
	mustBallast(t, "init", dir, "--out", plan, "--set", "net.name=cnn2", "--quiet")
	text, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# A plan for ", "  # every image has a mask", "  crop: mask", "# as asked for\n  name: cnn2", "lr: 0.001 # learning rate"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the plan lacks %q:\n%s", want, text)
		}
	}
	// Train takes the plan as it is: resolving it changes nothing.
	dry := strings.Split(mustBallast(t, "train", dir, "--plan", plan, "--dry-run", "--quiet"), "\n")
	if got, want := withoutComments(dry), withoutComments(strings.Split(string(text), "\n")); !slices.Equal(got, want) {
		t.Errorf("train resolves the plan to\n%s\nnot to\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	code, _, stderr := ballast(t, "init", dir, "--out", plan, "--quiet")
	if code != exitFailed || !strings.Contains(stderr, "--force") {
		t.Errorf("second init: exit %d, %s", code, stderr)
	}
	var result struct {
		Plan    string
		Choices []struct{ Key string }
	}
	if err := json.Unmarshal([]byte(mustBallast(t, "init", dir, "--out", plan, "--force", "--json", "--quiet")), &result); err != nil {
		t.Fatal(err)
	}
	if result.Plan != plan || len(result.Choices) < 8 {
		t.Errorf("%+v", result)
	}
	if again, err := os.ReadFile(plan); err != nil || strings.Contains(string(again), "cnn2") {
		t.Errorf("not replaced: %v", err)
	}
}

// withoutComments drops comments and empty lines.
func withoutComments(lines []string) []string {
	var rest []string
	for _, line := range lines {
		line, _, _ = strings.Cut(line, " # ")
		if trimmed := strings.TrimSpace(line); trimmed != "" && !strings.HasPrefix(trimmed, "#") {
			rest = append(rest, line)
		}
	}
	return rest
}

// Nothing is written for a cohort that train would refuse.
func TestInitOfNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cohort")
	config := phantom.Default().Resized(3, 16)
	config.Overlap = 1
	if err := phantom.Write(context.Background(), dir, config, 16, nil); err != nil {
		t.Fatal(err)
	}
	plan := filepath.Join(t.TempDir(), "plan.yaml")
	code, _, stderr := ballast(t, "init", dir, "--out", plan, "--quiet")
	if _, err := os.Stat(plan); code != exitFailed || err == nil || !strings.Contains(stderr, "two sets") {
		t.Errorf("exit %d, file %v\n%s", code, err, stderr)
	}
}

// No volume of the sarcomas is another's, and the breast table has no images.
func TestCheckRealCohorts(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 1,300 images: skipped in short mode")
	}
	sarcomas := checkJSON(t, sharedData(t, "sts-lungmets"))
	if sarcomas.Print.Images != 51 || len(sarcomas.Pairs) != 0 || sarcomas.has("acquisition-shortcut") {
		t.Errorf("sarcomas: %+v %+v", sarcomas.Findings, sarcomas.Pairs)
	}
	table := checkJSON(t, sharedData(t, "ispy2-pcr-table"))
	if table.Print.Subjects != 982 || !table.has("no-images") {
		t.Errorf("breast table: %+v", table.Findings)
	}
}
