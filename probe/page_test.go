package probe

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var quotedName = regexp.MustCompile("`([a-z0-9_.]+)`")

// TestPage holds docs/probes.md against the code: a section for each experiment, and
// in the first column of its table the names of its values.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("../docs/probes.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string][]string{}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		id, body, _ := strings.Cut(section, "\n")
		for line := range strings.Lines(body) {
			if column, _, row := strings.Cut(strings.TrimPrefix(line, "| "), " |"); row && strings.HasPrefix(line, "| `") {
				for _, name := range quotedName.FindAllStringSubmatch(column, -1) {
					sections[id] = append(sections[id], name[1])
				}
			}
		}
	}
	for _, p := range Probes {
		if p.Title == "" || p.Explain == "" || len(p.Values) == 0 {
			t.Errorf("%s lacks its title, explanation or values", p.ID)
		}
		missing := slices.DeleteFunc(slices.Clone(p.Values), func(name string) bool { return slices.Contains(sections[p.ID], name) })
		unknown := slices.DeleteFunc(slices.Clone(sections[p.ID]), func(name string) bool { return slices.Contains(p.Values, name) })
		if len(missing)+len(unknown) > 0 {
			t.Errorf("docs/probes.md, section %s: missing %v, unknown %v", p.ID, missing, unknown)
		}
		delete(sections, p.ID)
	}
	for id := range sections {
		t.Errorf("docs/probes.md has a section %s, which is no experiment", id)
	}
}
