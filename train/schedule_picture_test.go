package train

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSchedulePicture holds docs/schedules.svg against the schedules; -update
// draws it anew.
func TestSchedulePicture(t *testing.T) {
	path := filepath.Join("..", "docs", "schedules.svg")
	want := schedulePicture()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s does not show the schedules as they are; run go test ./train -run TestSchedulePicture -update", path)
	}
}

// schedulePicture draws each schedule over fifty epochs of four steps.
func schedulePicture() []byte {
	const width, height, epochs, perEpoch = 132, 90, 50, 4
	losses := make([]float64, epochs) // fall for twenty epochs, then stay
	for i := range losses {
		losses[i] = max(1-0.04*float64(i), 0.2)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", 5*(width+14)+6, height+48)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/>`+"\n")
	for i, c := range []struct {
		name   string
		change func(*Schedule)
	}{
		{"constant, warm_up: 5", func(s *Schedule) { s.Name, s.WarmUp = "constant", 5 }},
		{"step", func(s *Schedule) { s.Name, s.Factor = "step", 0.3 }},
		{"cosine, warm_up: 5", func(s *Schedule) { s.Name, s.WarmUp = "cosine", 5 }},
		{"one-cycle", func(s *Schedule) { s.Name = "one-cycle" }},
		{"plateau", func(s *Schedule) { s.Name, s.Factor = "plateau", 0.3 }},
	} {
		p := DefaultPlan()
		p.Epochs, p.Optimizer.LR = epochs, 1
		c.change(&p.Schedule)
		left := 10 + i*(width+14)
		fmt.Fprintf(&b, `<text x="%d" y="16" fill="#333">%s</text>`, left, c.name)
		fmt.Fprintf(&b, `<path d="M%d 26v%dh%d" fill="none" stroke="#999"/>`, left, height, width)
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#666">0</text><text x="%d" y="%d" fill="#666" text-anchor="end">50 epochs</text>`, left, height+41, left+width, height+41)
		b.WriteString(`<path fill="none" stroke="#1f6fb8" stroke-width="1.8" d="`)
		command := "M"
		for step := range epochs * perEpoch {
			rate := p.rate(step, perEpoch, losses[:step/perEpoch])
			fmt.Fprintf(&b, "%s%.1f %.1f", command, float64(left)+width*float64(step)/(epochs*perEpoch-1), 26+height*(1-rate))
			command = "L"
		}
		b.WriteString("\"/>\n")
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}
