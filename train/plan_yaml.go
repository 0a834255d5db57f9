package train

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"ballast/stat"
)

// ReadPlan returns the plan of a YAML text on top of the defaults. An unknown
// key is refused, with its line and the nearest known key.
func ReadPlan(data []byte) (Plan, error) {
	plan := DefaultPlan()
	if err := plan.apply(data); err != nil {
		return Plan{}, err
	}
	return plan, nil
}

// Set changes one value by its dotted key, as in Set("optimizer.lr", "3e-4").
// The value is read as YAML, so a list is "[16, 32, 32]".
func (p *Plan) Set(key, value string) error {
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(value), &node); err != nil {
		return fmt.Errorf("%w: %s: %q is not a value", ErrPlan, key, value)
	}
	if !slices.Contains(Keys(), key) {
		return unknownKey(key, "")
	}
	var inner any = &node
	if len(node.Content) == 1 {
		inner = node.Content[0]
	} else {
		inner = ""
	}
	parts := strings.Split(key, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		inner = map[string]any{parts[i]: inner}
	}
	text, err := yaml.Marshal(inner)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrPlan, key, err)
	}
	return p.apply(text)
}

// YAML returns the plan as a YAML text with every value stated.
func (p *Plan) YAML() []byte {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(p); err != nil {
		panic("train: a plan cannot be written: " + err.Error())
	}
	return text.Bytes()
}

// Keys lists the dotted keys of a plan, in the order of the YAML text.
func Keys() []string {
	var keys []string
	eachKey(reflect.TypeFor[Plan](), "", func(key string, _ reflect.StructField) { keys = append(keys, key) })
	return keys
}

// apply reads a YAML text into the plan and leaves unnamed values as they are.
func (p *Plan) apply(data []byte) error {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return fmt.Errorf("%w: %s", ErrPlan, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(document.Content) == 0 {
		return nil
	}
	if err := checkKeys(document.Content[0], reflect.TypeFor[Plan](), ""); err != nil {
		return err
	}
	changed := *p
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&changed); err != nil && !errors.Is(err, io.EOF) {
		var mismatch *yaml.TypeError
		if errors.As(err, &mismatch) {
			return fmt.Errorf("%w: %s", ErrPlan, strings.Join(mismatch.Errors, "; "))
		}
		return fmt.Errorf("%w: %s", ErrPlan, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	*p = changed
	return nil
}

func checkKeys(node *yaml.Node, kind reflect.Type, prefix string) error {
	if node.Kind != yaml.MappingNode || kind.Kind() != reflect.Struct {
		if kind.Kind() == reflect.Struct && node.Tag != "!!null" {
			return fmt.Errorf("%w: line %d: %s needs keys beneath it", ErrPlan, node.Line, cmp.Or(strings.TrimSuffix(prefix, "."), "the file"))
		}
		return nil
	}
	fields := map[string]reflect.Type{}
	for i := range kind.NumField() {
		fields[yamlName(kind.Field(i))] = kind.Field(i).Type
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		field, ok := fields[key.Value]
		if !ok {
			return unknownKey(prefix+key.Value, fmt.Sprintf("line %d: ", key.Line))
		}
		if err := checkKeys(node.Content[i+1], field, prefix+key.Value+"."); err != nil {
			return err
		}
	}
	return nil
}

func unknownKey(key, where string) error {
	return fmt.Errorf("%w: %sunknown key %q; did you mean %q?", ErrPlan, where, key, nearest(key, Keys()))
}

// nearest returns the candidate with the fewest edits to the word; a candidate
// whose last part is the whole word counts as one edit away.
func nearest(word string, candidates []string) string {
	best, fewest := "", -1
	for _, candidate := range candidates {
		distance := stat.EditDistance(word, candidate)
		if strings.HasSuffix(candidate, "."+word) {
			distance = 1
		}
		if fewest < 0 || distance < fewest {
			best, fewest = candidate, distance
		}
	}
	return best
}

func yamlName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
	return name
}

// eachKey visits every value of a plan that is not a section.
func eachKey(kind reflect.Type, prefix string, visit func(key string, field reflect.StructField)) {
	for i := range kind.NumField() {
		field := kind.Field(i)
		key := prefix + yamlName(field)
		if field.Type.Kind() == reflect.Struct {
			eachKey(field.Type, key+".", visit)
			continue
		}
		visit(key, field)
	}
}
