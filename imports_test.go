package ballast

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestImports holds the imports of every file against the table of
// docs/architecture.md.
func TestImports(t *testing.T) {
	allowed := importTable(t)
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (strings.HasPrefix(entry.Name(), "_") || strings.HasPrefix(entry.Name(), ".") && file != "." || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || path.Dir(filepath.ToSlash(file)) == "." {
			return nil
		}
		pkg := path.Dir(filepath.ToSlash(file))
		top := pkg
		if strings.HasPrefix(pkg, "bench/") {
			top = "bench"
		}
		may, ok := allowed[top]
		if !ok {
			t.Errorf("%s: package %s is not in the table of docs/architecture.md", file, pkg)
			return nil
		}
		seen[top] = true
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			name, ours := strings.CutPrefix(name, "ballast/")
			if ours && name != pkg && !slices.Contains(may, "all") && !slices.Contains(may, name) {
				t.Errorf("%s imports %s, which the table of docs/architecture.md does not allow", file, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range allowed {
		if !seen[pkg] {
			t.Errorf("docs/architecture.md lists package %s, which has no Go file", pkg)
		}
	}
}

var tableRow = regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\|[^|]*\\|([^|]*)\\|$")

func importTable(t *testing.T) map[string][]string {
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string][]string{}
	for _, row := range tableRow.FindAllStringSubmatch(string(text), -1) {
		table[row[1]] = strings.Fields(strings.ReplaceAll(row[2], "`", ""))
	}
	if len(table) < 10 {
		t.Fatalf("read only %d rows from the import table", len(table))
	}
	return table
}
