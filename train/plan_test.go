package train

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestReadPlanKeepsDefaultsAndReadsBack(t *testing.T) {
	plan, err := ReadPlan([]byte("seed: 7\noptimizer:\n  lr: 3e-4\nprep:\n  grid: [16, 32, 32]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultPlan()
	want.Seed, want.Optimizer.LR, want.Prep.Grid = 7, 3e-4, []int{16, 32, 32}
	if !reflect.DeepEqual(plan, want) {
		t.Errorf("got %+v\nwant %+v", plan, want)
	}
	again, err := ReadPlan(plan.YAML())
	if err != nil {
		t.Fatal(err)
	}
	// An empty list and an absent one mean the same.
	if string(again.YAML()) != string(plan.YAML()) {
		t.Errorf("read back:\n%s\nwritten:\n%s", again.YAML(), plan.YAML())
	}
}

func TestReadPlanRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"misspelt key", "optimizer:\n  lrr: 1\n", `line 2: unknown key "optimizer.lrr"; did you mean "optimizer.lr"?`},
		{"key of another section", "lr: 0.1\n", `line 1: unknown key "lr"; did you mean "optimizer.lr"?`},
		{"misspelt section", "optimiser:\n  lr: 1\n", `unknown key "optimiser"; did you mean`},
		{"text for a number", "epochs: many\n", `line 1: epochs is "many"; it must be a whole number`},
		{"value for a section", "net: cnn4\n", "line 1: net needs keys beneath it"},
		{"fraction for a whole number", "net:\n  width: 3.5\n", `line 2: net.width is "3.5"; it must be a whole number`},
		{"fraction in a list", "prep: {grid: [16, 16, 16.5]}\n", "prep.grid is [16, 16, 16.5]; it must be a list, each of it a whole number"},
		{"negative seed", "seed: -1\n", "seed is"},
		{"word for a switch", "validation: {dropout: maybe}\n", "it must be true or false"},
		{"two documents", "seed: 1\n---\nseed: 2\n", "more than one document"},
		{"list", "- 1\n", "the file needs keys beneath it"},
		{"not YAML", "a: [\n", "line"},
	} {
		_, err := ReadPlan([]byte(c.text))
		if !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want ErrPlan with %q", c.name, err, c.want)
		}
	}
}

func TestEmptyPlanIsTheDefault(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "net:\n"} {
		plan, err := ReadPlan([]byte(text))
		if err != nil || !reflect.DeepEqual(plan, DefaultPlan()) {
			t.Errorf("%q: %+v, %v", text, plan, err)
		}
	}
}

func TestSet(t *testing.T) {
	plan := DefaultPlan()
	for _, c := range []struct{ key, value string }{
		{"optimizer.lr", "3e-4"}, {"prep.grid", "[8, 16, 16]"}, {"net.norm", "none"}, {"seed", "18446744073709551615"},
		{"augment.flip", "[]"}, {"validation.dropout", "true"},
	} {
		if err := plan.Set(c.key, c.value); err != nil {
			t.Errorf("Set(%s, %s): %v", c.key, c.value, err)
		}
	}
	if plan.Optimizer.LR != 3e-4 || plan.Prep.Grid[2] != 16 || plan.Net.Norm != "none" || plan.Seed != 1<<64-1 ||
		len(plan.Augment.Flip) != 0 || !plan.Validation.Dropout || plan.Optimizer.Name != "adam" {
		t.Errorf("after Set: %+v", plan)
	}
	before := string(plan.YAML())
	for _, c := range []struct{ key, value, want string }{
		{"optimizer.l", "1", `unknown key "optimizer.l"; did you mean "optimizer.lr"?`},
		{"optimizer", "1", "unknown key"},
		{"epochs", "ten", `plan: epochs is "ten"; it must be a whole number`},
		{"epochs", "[", "is not a value"},
	} {
		if err := plan.Set(c.key, c.value); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Set(%s, %s) = %v, want %q", c.key, c.value, err, c.want)
		}
	}
	if after := string(plan.YAML()); after != before {
		t.Errorf("a refused Set changed the plan:\n%s", after)
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	eachKey(reflect.TypeFor[Plan](), "", func(key string, field reflect.StructField) {
		if field.Tag.Get("doc") == "" && key != "format" {
			t.Errorf("%s has no doc tag", key)
		}
	})
}

func TestValidateNamesEveryProblem(t *testing.T) {
	plan := DefaultPlan()
	plan.Epochs, plan.Optimizer.LR, plan.Net.Name, plan.Prep.Grid = 0, -1, "vgg99", []int{4}
	err := plan.Validate()
	if !errors.Is(err, ErrPlan) {
		t.Fatal(err)
	}
	for _, want := range []string{"epochs is 0", "optimizer.lr is -1", `net.name is "vgg99"; it can be`, "prep.grid has 1 numbers"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	sound := DefaultPlan()
	if err := sound.Validate(); err != nil {
		t.Errorf("the default plan: %v", err)
	}
}
