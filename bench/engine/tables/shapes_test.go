package main

import (
	"strings"
	"testing"

	"ballast/bench/engine"
)

func TestShapesCanBeLaidOut(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range all {
		c := s.conv()
		name := engine.Describe(c)
		if c.In.C != s.in || c.Out.C != s.out || c.In.Lanes < 16 && !s.first {
			t.Errorf("%s: %+v", name, c.In)
		}
		if seen[name] {
			t.Errorf("%s twice", name)
		}
		seen[name] = true
	}
}

func TestShapeTable(t *testing.T) {
	m := measured{Report: &engine.Report{Peak: 200}}
	for _, s := range all {
		m.Shapes = append(m.Shapes, engine.Layer{Shape: engine.Describe(s.conv()), Forward: 100, BackwardWeights: 50})
	}
	text := shapeTable(m)
	if want := "| 2 x 20→20, 51x47x33, kernel 3x3x3 | 39 % | 100 (50 %) | - | 50 (25 %) |\n"; !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}
