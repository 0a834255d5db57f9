package diagnosis

import (
	"slices"
	"strings"
	"testing"
)

// Every cause that a run is judged by has a guide, and no guide is of another.
func TestGuides(t *testing.T) {
	var ids []string
	for _, cause := range Causes {
		ids = append(ids, cause.ID)
		g, known := GuideOf(cause.ID)
		for _, text := range []string{g.Detected, g.Cure} {
			if !known || !strings.HasSuffix(text, ".") || len(text) < 40 {
				t.Errorf("%s: %q", cause.ID, text)
			}
		}
	}
	for id := range guides {
		if !slices.Contains(ids, id) {
			t.Errorf("a guide to %s, which is no cause", id)
		}
	}
}

// The measured rates are of causes that exist, and no count exceeds what it is part of.
func TestReliabilities(t *testing.T) {
	for id, r := range reliabilities {
		if !slices.ContainsFunc(Causes, func(c *Cause) bool { return c.ID == id }) {
			t.Errorf("rates of %s, which is no cause", id)
		}
		for _, rates := range []Rates{r.Alone, r.Probed} {
			if rates.Sure > rates.Planted || rates.First > rates.Second || rates.Second > rates.Planted ||
				rates.TrueSure > rates.True || rates.CleanFalse > rates.Clean || rates.OtherFalse > rates.Other {
				t.Errorf("%s: %+v", id, rates)
			}
		}
	}
}
