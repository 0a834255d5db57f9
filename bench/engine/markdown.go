package engine

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// MarkdownTable writes rows, the head first; all but the first few columns are
// numbers.
func MarkdownTable(text *strings.Builder, words int, rows func(row func(cells ...string))) {
	head := true
	rows(func(cells ...string) {
		fmt.Fprintf(text, "| %s |\n", strings.Join(cells, " | "))
		if head {
			text.WriteString("|" + strings.Repeat(" --- |", words) + strings.Repeat(" --: |", len(cells)-words) + "\n")
		}
		head = false
	})
}

// Publish puts a text in its place on a page: between the lines <!-- table NAME -->
// and <!-- end -->.
func Publish(page, name, text string) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("%w; run the command in the project's folder", err)
	}
	place := regexp.MustCompile(`(?s)(<!-- table ` + regexp.QuoteMeta(name) + ` -->\n).*?(<!-- end -->)`)
	if !place.Match(old) {
		return fmt.Errorf("%s has no place for the table %s", page, name)
	}
	return os.WriteFile(page, place.ReplaceAll(old, []byte("${1}"+strings.ReplaceAll(text, "$", "$$")+"${2}")), 0o644)
}
