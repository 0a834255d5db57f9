package main

import (
	"fmt"
	"strings"

	"ballast/train"
)

// parseCovariates reads the flags --covariate NAME=VALUE of one subject, for a run
// that encodes them, and says what is odd about the values.
func parseCovariates(given []string, c *train.Covariates, subjects int) (values map[string]string, notes []string, err error) {
	values = map[string]string{}
	for _, text := range given {
		name, value, ok := strings.Cut(text, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" {
			return nil, nil, fmt.Errorf("%w: --covariate is %q; it has the form age=63", errUsage, text)
		}
		if _, twice := values[name]; twice {
			return nil, nil, fmt.Errorf("%w: --covariate %s is given twice", errUsage, name)
		}
		values[name] = value
	}
	if len(given) > 0 && subjects > 1 {
		return nil, nil, fmt.Errorf("%w: --covariate is of one subject, but %d images are each a subject of their own; predict them one by one, or say with --pool that they are of one", errUsage, subjects)
	}
	if err := c.Known(values); err != nil {
		return nil, nil, fmt.Errorf("%w: --covariate: %w", errUsage, err)
	}
	for name, value := range values {
		if missing(value) {
			delete(values, name)
		}
	}
	if _, err := c.Encode(values); err != nil {
		return nil, nil, fmt.Errorf("%w: --covariate: %w", errUsage, err)
	}
	notes = c.Odd(values)
	if c != nil {
		for _, column := range c.Columns {
			if _, ok := values[column.Name]; !ok {
				notes = append(notes, fmt.Sprintf("covariate %s is not given and counts as missing; say --covariate %s=VALUE", column.Name, column.Name))
			}
		}
	}
	return values, notes, nil
}

// missing tells whether a value says that there is none, as in a cohort's table.
func missing(value string) bool {
	switch strings.ToLower(value) {
	case "", "n/a", "na", "nan":
		return true
	}
	return false
}
