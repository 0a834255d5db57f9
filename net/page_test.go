package net

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The sizes in docs/networks.md are those of the networks.
func TestPageStatesTheSizes(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "networks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Names() {
		line := "| `" + name + "` |"
		for _, size := range [][3]int{{1, 128, 128}, {32, 48, 48}} {
			c := Config{Name: name, Dims: 3, Channels: 1, Size: size, Classes: 2, Width: 16, Norm: "batch", Momentum: 0.1}
			if size[0] == 1 {
				c.Dims = 2
			}
			if c.Check() != nil {
				line += " too small | | |"
				continue
			}
			cost := assemble(c, nil).Cost(8)
			line += fmt.Sprintf(" %s | %.2g | %d |", thousands(cost.Parameters), float64(cost.ForwardFLOPs)/8e9, (cost.Bytes+1<<20-1)>>20)
		}
		if !strings.Contains(string(page), line+"\n") {
			t.Errorf("docs/networks.md lacks the line\n%s", line)
		}
	}
}

// thousands writes a number with commas.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
