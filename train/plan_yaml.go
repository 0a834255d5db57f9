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
	if err := plan.apply(data, true); err != nil {
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
	return p.apply(text, false)
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
// Complaints name the line where the text is a file's.
func (p *Plan) apply(data []byte, lines bool) error {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return fmt.Errorf("%w: %s", ErrPlan, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the text holds more than one document; a plan is one", ErrPlan)
	}
	if err := (checker{lines}).section(document.Content[0], reflect.TypeFor[Plan](), ""); err != nil {
		return err
	}
	changed := *p
	if err := changed.cook(&document); err != nil {
		return err
	}
	if err := document.Decode(&changed); err != nil {
		return fmt.Errorf("%w: %s", ErrPlan, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	*p = changed
	return nil
}

// A checker holds a YAML text against the keys and kinds of a plan.
type checker struct{ lines bool }

// where is the line of a node, for the beginning of a complaint.
func (c checker) where(node *yaml.Node) string {
	if !c.lines {
		return ""
	}
	return fmt.Sprintf("line %d: ", node.Line)
}

func (c checker) section(node *yaml.Node, kind reflect.Type, prefix string) error {
	if node.Tag == "!!null" {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("%w: %s%s needs keys beneath it", ErrPlan, c.where(node), cmp.Or(strings.TrimSuffix(prefix, "."), "the file"))
	}
	fields := map[string]reflect.Type{}
	for i := range kind.NumField() {
		fields[yamlName(kind.Field(i))] = kind.Field(i).Type
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		field, ok := fields[key.Value]
		if !ok {
			return unknownKey(prefix+key.Value, c.where(key))
		}
		if field.Kind() == reflect.Struct {
			if err := c.section(value, field, prefix+key.Value+"."); err != nil {
				return err
			}
			continue
		}
		if field.Kind() == reflect.Slice && value.Kind == yaml.ScalarNode && value.Tag != "!!null" {
			listOfOne(value)
		}
		if !fits(value, field) {
			return fmt.Errorf("%w: %s%s is %s; it must be %s", ErrPlan, c.where(value), prefix+key.Value, described(value), kindName(field))
		}
	}
	return nil
}

// listOfOne turns a single value where a list is expected into a list of it:
// "data.path: t1" is "data.path: [t1]", and no text at all the empty list.
func listOfOne(value *yaml.Node) {
	list := yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: value.Line, Column: value.Column}
	if value.Value != "" {
		element := *value
		list.Content = []*yaml.Node{&element}
	}
	*value = list
}

// fits reports whether a value is of the kind, without loss: 3.5 is no whole
// number. Nothing at all leaves the default.
func fits(node *yaml.Node, kind reflect.Type) bool {
	if node.Kind == yaml.AliasNode {
		return fits(node.Alias, kind)
	}
	if node.Tag == "!!null" {
		return true
	}
	if kind.Kind() == reflect.Slice {
		return node.Kind == yaml.SequenceNode &&
			!slices.ContainsFunc(node.Content, func(element *yaml.Node) bool { return element.Tag == "!!null" || !fits(element, kind.Elem()) })
	}
	if node.Kind != yaml.ScalarNode || node.Decode(reflect.New(kind).Interface()) != nil {
		return false
	}
	switch kind.Kind() {
	case reflect.Int, reflect.Uint64:
		return node.Tag == "!!int"
	case reflect.Float64:
		return node.Tag == "!!int" || node.Tag == "!!float"
	}
	return true
}

func kindName(kind reflect.Type) string {
	switch kind.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.Uint64:
		return "a whole number of at least 0 and below 2^64"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list, each of it " + kindName(kind.Elem())
	}
	return "text"
}

func described(node *yaml.Node) string {
	switch node.Kind {
	case yaml.SequenceNode:
		var elements []string
		for _, element := range node.Content {
			elements = append(elements, element.Value)
		}
		return "[" + strings.Join(elements, ", ") + "]"
	case yaml.MappingNode:
		return "a section"
	}
	return fmt.Sprintf("%q", node.Value)
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
