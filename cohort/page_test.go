package cohort

import (
	"os"
	"path"
	"strings"
	"testing"
)

// TestCohortsPage opens every example of docs/cohorts.md: the files of the blocks
// since the last command, with the flags of the command.
func TestCohortsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/cohorts.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, files := 0, map[string]string{}
	for n, block := range strings.Split(string(page), "```") {
		kind, text, _ := strings.Cut(block, "\n")
		switch kind, name, _ := strings.Cut(kind, " "); {
		case n%2 == 0:
			continue
		case kind == "tree":
			for file := range strings.Lines(text) {
				addExampleImage(files, strings.TrimSpace(file))
			}
		case kind == "csv", kind == "tsv", kind == "json":
			files[name] = text
			for field := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(",\t\n\"[] ", r) }) {
				if _, isImage := imageEnding(field); isImage {
					addExampleImage(files, field)
				}
			}
		case kind == "sh":
			examples++
			c, err := Open(study(t, files), exampleOptions(t, text))
			if err != nil {
				t.Errorf("%s%v", text, err)
			} else if len(c.Subjects) < 2 {
				t.Errorf("%s%d subjects", text, len(c.Subjects))
			}
			files = map[string]string{}
		}
	}
	if examples < 8 {
		t.Errorf("only %d examples were found", examples)
	}
}

// addExampleImage adds a file of its own content, DICOM when its name has no ending.
func addExampleImage(files map[string]string, name string) {
	content := "content of " + name
	if path.Ext(name) == "" {
		content = dicomStart + content
	}
	files[name] = content
}

func exampleOptions(t *testing.T, command string) (o Options) {
	words := strings.Fields(command)
	if len(words) < 3 || words[0] != "ballast" || words[2] != "COHORT" || len(words)%2 == 0 {
		t.Fatalf("command %q", command)
	}
	for n := 3; n < len(words); n += 2 {
		switch words[n] {
		case "--path":
			o.Path = strings.Split(words[n+1], ",")
		case "--sequences":
			o.Sequences = strings.Split(words[n+1], ",")
		case "--session":
			o.Session = words[n+1]
		case "--mask":
			o.Mask = words[n+1]
		default:
			t.Fatalf("flag %s of %q is not known to the test", words[n], command)
		}
	}
	return o
}
