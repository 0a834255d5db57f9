package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"ballast/train"
)

// difference says by which keys of the plan a fault differs from a well-set run, as it
// is planted in the first network that it does anything to, and on how many subjects.
func (f *fault) difference() string {
	for i := range networks {
		n := &networks[i]
		if f.plants != nil && !f.plants(n) {
			continue
		}
		base, spoilt := basePlan(n, 1), basePlan(n, 1)
		f.plan(&spoilt, n)
		parts := changedKeys(&base, &spoilt)
		if reflect.DeepEqual(spoilt.Augment, train.Augment{}) {
			parts = slices.DeleteFunc(parts, func(part string) bool { return strings.HasPrefix(part, "augment.") })
			parts = append(parts, "no augmentation")
		}
		if f.train > 0 {
			parts = append(parts, fmt.Sprintf("%d training subjects", f.train))
		}
		if f.effect > 0 {
			parts = append(parts, fmt.Sprintf("effect size %g", f.effect))
		}
		return strings.Join(parts, ", ")
	}
	return ""
}

// changedKeys lists the dotted keys in which two plans differ, with the values of the
// second.
func changedKeys(before, after *train.Plan) (parts []string) {
	old, changed := flat(before), flat(after)
	for _, key := range slices.Sorted(maps.Keys(changed)) {
		if old[key] != changed[key] {
			parts = append(parts, fmt.Sprintf("%s %s", key, changed[key]))
		}
	}
	return parts
}

// flat is a plan as dotted keys.
func flat(p *train.Plan) map[string]string {
	var tree map[string]any
	if err := yaml.Unmarshal(p.YAML(), &tree); err != nil {
		return nil
	}
	keys := map[string]string{}
	var walk func(prefix string, value any)
	walk = func(prefix string, value any) {
		if branch, isBranch := value.(map[string]any); isBranch {
			for key, below := range branch {
				walk(strings.TrimPrefix(prefix+"."+key, "."), below)
			}
			return
		}
		keys[prefix] = fmt.Sprint(value)
	}
	walk("", tree)
	return keys
}
