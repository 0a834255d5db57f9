package main

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ballast/diagnosis"
)

// The page is the program's input and output: its commands are those of ballast, and
// it has a place for everything that is published, with every figure beside it.
func TestPage(t *testing.T) {
	folder := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(folder, page))
	if err != nil {
		t.Fatal(err)
	}
	commands := commandLine.FindAllSubmatch(text, -1)
	if len(commands) < 10 || planBlock.Find(text) == nil {
		t.Errorf("%d commands", len(commands))
	}
	written := map[string]bool{}
	for _, c := range commands {
		words := strings.Fields(string(c[1]))
		if !slices.Contains([]string{"phantom", "train", "diagnose", "cv"}, words[0]) {
			t.Errorf("command %q", c[1])
		}
		if out := outFlag.FindStringSubmatch(string(c[1])); out != nil {
			written[out[1]] = true
		}
	}
	for _, try := range tries {
		if !written[try.folder] {
			t.Errorf("no command of the page trains %s", try.folder)
		}
	}
	code := ""
	for _, file := range []string{"publish.go", "real.go", "pictures.go"} {
		part, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code += string(part)
	}
	names := regexp.MustCompile(`put\("([a-z]+)"`).FindAllStringSubmatch(code, -1)
	if len(names) < 9 {
		t.Errorf("%d texts are published", len(names))
	}
	for _, name := range names {
		if !strings.Contains(string(text), "<!-- table "+name[1]+" -->\n") {
			t.Errorf("the page has no place for %s", name[1])
		}
	}
	for _, figure := range regexp.MustCompile(`save\("([a-z-]+\.svg)"\)`).FindAllStringSubmatch(code, -1) {
		if _, err := os.Stat(filepath.Join(folder, filepath.Dir(page), figure[1])); err != nil || !strings.Contains(string(text), "]("+figure[1]+")") {
			t.Errorf("figure %s: %v, or not on the page", figure[1], err)
		}
	}
}

// Every guess is decided by causes that exist.
func TestGuessesAreCauses(t *testing.T) {
	for _, g := range guesses {
		for _, cause := range g.causes {
			if !slices.ContainsFunc(diagnosis.Causes, func(c *diagnosis.Cause) bool { return c.ID == cause.id }) {
				t.Errorf("%q: no cause %s", g.guess, cause.id)
			}
		}
	}
}

// By hand: steps of 10, -20 and 0 points; Student's quantile for 2 degrees of freedom,
// 4.302653, of R 4.3, qt(0.975, 2).
func TestNumbers(t *testing.T) {
	if got, want := jitter([]float64{50, 60, 40, 40}), math.Sqrt((100+400)/2.0/3); !(math.Abs(got-want) <= 1e-12) {
		t.Errorf("jitter %v, want %v", got, want)
	}
	if got := late([]float64{1, 2, 3, 4, 5, 6}); got != 5.5 {
		t.Errorf("late mean %v", got)
	}
	if got, want := halfWidth([]float64{1, 2, 3}), 4.302653/math.Sqrt(3); !(math.Abs(got-want) <= 1e-6) {
		t.Errorf("half width %v, want %v", got, want)
	}
}
