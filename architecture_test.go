package ballast

import (
	"go/ast"
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

var namedFunction = regexp.MustCompile("`([a-z]+)\\.((?:[A-Z][A-Za-z0-9]*\\.)?[A-Z][A-Za-z0-9]*)`")

// TestNamedFunctions checks that every function or type docs/architecture.md
// names exists.
func TestNamedFunctions(t *testing.T) {
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	names := namedFunction.FindAllStringSubmatch(string(text), -1)
	if len(names) < 10 {
		t.Fatalf("found only %d names", len(names))
	}
	packages := importTable(t)
	for _, name := range names {
		if _, ours := packages[name[1]]; ours && !declared(t, name[1], name[2]) {
			t.Errorf("docs/architecture.md names %s.%s, which package %s does not declare", name[1], name[2], name[1])
		}
	}
}

// declared reports whether a package has the function, type or Type.Method.
func declared(t *testing.T, pkg, name string) bool {
	files, err := filepath.Glob(pkg + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range parsed.Decls {
			if slices.Contains(declaredNames(declaration), name) {
				return true
			}
		}
	}
	return false
}

func declaredNames(declaration ast.Decl) []string {
	var names []string
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			receiver := d.Recv.List[0].Type
			if pointer, ok := receiver.(*ast.StarExpr); ok {
				receiver = pointer.X
			}
			if named, ok := receiver.(*ast.Ident); ok {
				name = named.Name + "." + name
			}
		}
		names = append(names, name)
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if typed, ok := spec.(*ast.TypeSpec); ok {
				names = append(names, typed.Name.Name)
			}
		}
	}
	return names
}
