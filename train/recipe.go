package train

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A setting is one value of a plan by its dotted key, as in Set.
type setting struct{ key, value string }

// steady is what the recipe of that name sets. docs/training.md gives the reasons
// and what was measured.
var steady = []setting{
	{"optimizer.name", "adamw"},
	{"optimizer.weight_decay", "0.05"},
	{"optimizer.clip", "5"},
	{"loss.smoothing", "0.05"},
	{"average.name", "ema"},
	{"validation.weights", "averaged"},
}

// cook puts the recipe in place that a text names, before the text's other keys:
// first every key that a recipe can set gets its default, then the recipe's own
// settings follow.
func (p *Plan) cook(document *yaml.Node) error {
	var named struct{ Recipe string }
	if err := document.Decode(&named); err != nil {
		return fmt.Errorf("%w: %s", ErrPlan, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var settings []setting
	switch named.Recipe {
	case "":
		return nil
	case "plain":
	case "steady":
		settings = steady
	default:
		return fmt.Errorf("%w: recipe is %q; it can be plain, steady", ErrPlan, named.Recipe)
	}
	defaults := DefaultPlan()
	for _, s := range steady {
		p.value(s.key).Set(defaults.value(s.key))
	}
	for _, s := range settings {
		if err := p.Set(s.key, s.value); err != nil {
			panic("train: recipe " + named.Recipe + ": " + err.Error())
		}
	}
	return nil
}

// value is the field of a dotted key.
func (p *Plan) value(key string) reflect.Value {
	section := reflect.ValueOf(p).Elem()
	for part := range strings.SplitSeq(key, ".") {
		section = member(section, part)
	}
	return section
}

func member(section reflect.Value, name string) reflect.Value {
	for i := range section.NumField() {
		if yamlName(section.Type().Field(i)) == name {
			return section.Field(i)
		}
	}
	panic("train: a plan has no key " + name)
}
