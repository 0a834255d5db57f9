package train

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite the generated pages")

const planPage = "../docs/format/plan.md"

// TestPlanPage holds docs/format/plan.md against the plan's own keys, defaults
// and explanations; -update rewrites it.
func TestPlanPage(t *testing.T) {
	want := planReference(t)
	if *update {
		if err := os.WriteFile(planPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(planPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is out of date: go test ./train -run TestPlanPage -update", planPage)
	}
}

func planReference(t *testing.T) string {
	var page strings.Builder
	page.WriteString(`# The plan

A plan is one YAML file that decides a run, apart from the cohort itself. Every key may be left out; an unknown key is
refused with the nearest known one. On the command line ` + "`--set KEY=VALUE`" + ` changes a single key:
` + "`--set optimizer.lr=3e-4 --set prep.grid=[32,48,48]`" + `. The plan that a run stores (` + "`plan.yaml`" + `) states every value,
those included that were chosen, and can be given back with ` + "`--plan`" + `.

This page is made from the code by ` + "`go test ./train -run TestPlanPage -update`" + `.

| key | default | meaning |
| --- | --- | --- |
`)
	defaults := DefaultPlan()
	eachKey(reflect.TypeFor[Plan](), "", func(key string, field reflect.StructField) {
		value := defaults.value(key)
		text, err := yaml.Marshal(value.Interface())
		if err != nil {
			t.Fatal(err)
		}
		if value.Kind() == reflect.Slice {
			text = []byte(strings.ReplaceAll(fmt.Sprint(value.Interface()), " ", ", "))
		}
		meaning := field.Tag.Get("doc")
		if key == "format" {
			meaning = "version of this format"
		}
		fmt.Fprintf(&page, "| `%s` | `%s` | %s |\n", key, strings.TrimSpace(string(text)), meaning)
	})
	page.WriteString(`
Lengths are in mm; an image without a scale counts a pixel as 1 mm. In 3D W runs towards the patient's right, H towards
anterior, D towards superior; in 2D W and H are the columns and rows on the screen.
`)
	page.WriteString("\n## recipe: steady\n\nSets these keys; [training.md](../training.md#recipes) says why. Others keep their value. `recipe: plain` sets the same\n" +
		"keys to their default. A recipe comes before the other keys of the same text, wherever it stands there, and after what\n" +
		"an earlier text set: `--recipe steady --set optimizer.lr=3e-4` is steady with another rate.\n\n| key | value |\n| --- | --- |\n")
	for _, s := range steady {
		fmt.Fprintf(&page, "| `%s` | `%s` |\n", s.key, s.value)
	}
	return page.String()
}
