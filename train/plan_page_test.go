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
	defaults := reflect.ValueOf(DefaultPlan())
	eachKey(reflect.TypeFor[Plan](), "", func(key string, field reflect.StructField) {
		value := defaults
		for part := range strings.SplitSeq(key, ".") {
			value = fieldByKey(value, part)
		}
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
	return page.String()
}

func fieldByKey(section reflect.Value, name string) reflect.Value {
	for i := range section.NumField() {
		if yamlName(section.Type().Field(i)) == name {
			return section.Field(i)
		}
	}
	return reflect.Value{}
}
