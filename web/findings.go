package web

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"ballast/diagnosis"

	"go.yaml.in/yaml/v3"
)

// A finding is a cause as the page shows it.
type finding struct {
	Title, ID       string
	Verdict, Symbol string
	Class           string
	Cost            string // "6.1 points of jitter"; "" when it costs nothing
	Explain         string
	Because         string // title of the cause that it follows from; "" where it stands by itself
	BecauseID       string
	Evidence        []string
	Treatment       string
	Plan            string // YAML; "" when no key of the plan can do it
}

// verdicts maps each verdict to a symbol that tells it apart without colour.
var verdicts = map[string]string{
	diagnosis.Confirmed:  "●",
	diagnosis.Likely:     "◕",
	diagnosis.Possible:   "◔",
	diagnosis.CannotTell: "?",
	diagnosis.RuledOut:   "○",
}

func newFinding(f *diagnosis.Finding) (finding, error) {
	shown := finding{
		Title: f.Title, ID: f.ID, Verdict: strings.ReplaceAll(f.Verdict, "-", " "), Symbol: verdicts[f.Verdict],
		Class: "v-" + f.Verdict, Explain: glue(f.Explain),
	}
	if shown.Title == "" {
		shown.Title = inWords(f.ID)
	}
	if f.Severity.Known() && f.Severity != 0 {
		shown.Cost = decimal(float64(f.Severity), 1) + " points"
		if f.Of != "" {
			shown.Cost += " of " + f.Of
		}
	}
	for _, e := range f.Evidence {
		shown.Evidence = append(shown.Evidence, glue(e.Text))
	}
	if f.Because != "" {
		shown.BecauseID, shown.Because = f.Because, diagnosis.Title(f.Because)
	}
	if f.Treatment.Text == "" {
		return shown, nil
	}
	shown.Treatment = glue(f.Treatment.Text)
	var err error
	if shown.Plan, err = planYAML(f.Treatment.Plan); err != nil {
		err = fmt.Errorf("show the treatment of %s: %w", f.ID, err)
	}
	return shown, err
}

// weighty reports whether a finding speaks for its cause; the others are
// folded away.
func weighty(verdict string) bool {
	return slices.Contains([]string{diagnosis.Confirmed, diagnosis.Likely, diagnosis.Possible}, verdict)
}

// planYAML writes dotted keys as the part of a plan.yaml that they change.
func planYAML(dotted map[string]any) (string, error) {
	if len(dotted) == 0 {
		return "", nil
	}
	tree := map[string]any{}
	for key, value := range dotted {
		branch := tree
		parts := strings.Split(key, ".")
		for _, part := range parts[:len(parts)-1] {
			next, ok := branch[part].(map[string]any)
			if !ok {
				next = map[string]any{}
				branch[part] = next
			}
			branch = next
		}
		branch[parts[len(parts)-1]] = flow(value)
	}
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(tree); err != nil {
		return "", err
	}
	return strings.TrimSpace(text.String()), encoder.Close()
}

// flow keeps a list on one line, as plan.yaml itself has it.
func flow(value any) any {
	var node yaml.Node
	if node.Encode(value) == nil && node.Kind == yaml.SequenceNode {
		node.Style = yaml.FlowStyle
		return &node
	}
	return value
}
