package audit

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPage holds the ids of findings against docs/checking-a-cohort.md.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../docs/checking-a-cohort.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	other := []string{"left-right", "anterior-posterior", "superior-inferior", "up-down"} // are no ids
	word := regexp.MustCompile(`"([a-z]+(?:-[a-z]+)+|duplicate)"`)
	known := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range word.FindAllStringSubmatch(string(text), -1) {
			if slices.Contains(other, match[1]) {
				continue
			}
			known++
			if !strings.Contains(string(page), "`"+match[1]+"`") {
				t.Errorf("%s: %s is not on the page", file, match[1])
			}
		}
	}
	if known < 25 {
		t.Errorf("found only %d ids in the code", known)
	}
}
