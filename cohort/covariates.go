package cohort

import (
	"fmt"
	"maps"
	"slices"
)

// chooseCovariates finds the columns with clinical values that were asked for,
// and refuses those that mean something else. The column of the site may be one.
func (c *Cohort) chooseCovariates(t *table, o Options, used *columns) error {
	for _, name := range o.Covariates {
		column, err := t.named(name, "set data.covariates=[]")
		if err != nil {
			return err
		}
		if use := c.useOf(column, used); use != "" {
			return fmt.Errorf("%w: column %s of %s holds the %s; take it out of data.covariates", ErrCovariate, column, t.path, use)
		}
		if slices.Contains(c.Columns.Covariates, column) {
			return fmt.Errorf("%w: column %s is asked for twice", ErrCovariate, column)
		}
		c.Columns.Covariates = append(c.Columns.Covariates, column)
		if !slices.Contains(used.rest, column) {
			used.rest = append(used.rest, column)
		}
	}
	return nil
}

// useOf says what a column is read for, if that keeps it from being a covariate.
func (c *Cohort) useOf(column string, used *columns) string {
	for _, known := range []struct{ column, use string }{
		{c.Columns.Label, "class, which is to be predicted"}, {c.Columns.Subject, "subject"},
		{c.Columns.Set, "set"}, {c.Columns.Fold, "fold"}, {used.mask, "mask"}, {used.session, "session"}, {used.volume, "volume of 4D files"},
	} {
		if known.column == column {
			return known.use
		}
	}
	if slices.Contains(c.Columns.Path, column) {
		return "image file"
	}
	return ""
}

// noCovariates refuses covariates where there is no table to take them from.
func noCovariates(path, kind string, o Options) error {
	if len(o.Covariates) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s is %s without a table, so there is no column %q", ErrColumn, path, kind, o.Covariates[0])
}

// checkCovariates refuses a column asked for as a covariate that has two values
// for one subject: a prediction is made for a subject, at one time.
func (c *Cohort) checkCovariates(rowsOf map[string][]row) error {
	for _, id := range slices.Sorted(maps.Keys(rowsOf)) {
		for _, column := range c.Columns.Covariates {
			var first *row
			for n := range rowsOf[id] {
				r := &rowsOf[id][n]
				switch value, ok := r.values[column]; {
				case !ok:
				case first == nil:
					first = r
				case value != first.values[column]:
					return fmt.Errorf("%w: subject %s has %q%s and %q%s in column %s, but a covariate has one value for each subject; choose one visit with --session, or leave the column out",
						ErrCovariate, id, first.values[column], at(*first), value, at(*r), column)
				}
			}
		}
	}
	return nil
}
