package train

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// A recipe comes before the other keys of its text and after earlier texts.
func TestRecipe(t *testing.T) {
	with := func(steps ...string) Plan { // "key=value" for Set, else a text
		t.Helper()
		plan := DefaultPlan()
		for _, step := range steps {
			var err error
			if key, value, found := strings.Cut(step, "="); found {
				err = plan.Set(key, value)
			} else {
				plan, err = ReadPlan([]byte(step))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return plan
	}
	cooked := with("recipe=steady")
	if cooked.Recipe != "steady" || reflect.DeepEqual(cooked, DefaultPlan()) {
		t.Fatalf("recipe=steady gives %+v", cooked)
	}
	if err := cooked.Validate(); err != nil {
		t.Error(err)
	}
	changed := cooked
	changed.Optimizer.LR, changed.Epochs = 3e-4, 7
	back := DefaultPlan()
	back.Epochs = 7
	for _, c := range []struct {
		name  string
		steps []string
		want  Plan
	}{
		{"a text", []string{"recipe: steady\n"}, cooked},
		{"keys after it", []string{"recipe: steady\noptimizer: {lr: 3e-4}\nepochs: 7\n"}, changed},
		{"keys before it", []string{"optimizer:\n  lr: 3e-4\nepochs: 7\nrecipe: steady\n"}, changed},
		{"set after it", []string{"recipe=steady", "optimizer.lr=3e-4", "epochs=7"}, changed},
		{"set before it", []string{"optimizer.name=sgd", "recipe=steady"}, cooked},
		{"there and back", []string{"recipe=steady", "epochs=7", "recipe=plain"}, back},
		{"its own text", []string{string(changed.YAML())}, changed},
		{"the default's text", []string{"recipe=steady", string(back.YAML())}, back},
	} {
		got := with(c.steps...)
		if text, want := got.YAML(), c.want.YAML(); !bytes.Equal(text, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, text, want)
		}
	}
	for _, text := range []string{"recipe: calm\n", "recipe: 3\n", "recipe: [steady]\n"} {
		if _, err := ReadPlan([]byte(text)); !errors.Is(err, ErrPlan) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Every setting of the recipe names a key and differs from the default, except
// those that the recipe insists on whatever the default may become.
func TestRecipeSettings(t *testing.T) {
	defaults := DefaultPlan()
	for _, s := range steady {
		if !slices.Contains(Keys(), s.key) {
			t.Errorf("steady sets %s, which is no key", s.key)
			continue
		}
		plan := DefaultPlan()
		if err := plan.Set(s.key, s.value); err != nil {
			t.Errorf("steady: %v", err)
		}
		if same := reflect.DeepEqual(plan.value(s.key).Interface(), defaults.value(s.key).Interface()); same && s.key != "average.name" {
			t.Errorf("steady sets %s to its default", s.key)
		}
	}
}
