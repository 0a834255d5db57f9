package run

import (
	"errors"
	"math"
)

// Curves are what a log of another trainer holds of one run: values per epoch,
// no predictions of single subjects.
type Curves struct {
	Source     string   // file or folder as given
	Format     string   // "keras-csv", "tensorboard", ...; docs/logs.md lists them
	Name       string   // of the run within the source; empty when there is one
	Measure    string   // what plays accuracy: "accuracy", "AUROC", "Dice", ...; empty when the log has losses only
	Points     []Point  // in order of epochs
	Validation int      // subjects (or samples) of the validation set where the log says it; 0: it does not
	Classes    int      // 0: unknown
	Notes      []string // what was repaired, left out or guessed, one line each
}

// A Point is one epoch of a log. Values that the log lacks are NaN.
type Point struct {
	Epoch              int   // from 1, also where the log counts from 0
	Step               int   // optimiser steps taken so far; 0 when the log does not say
	TrainLoss          Float // as logged: with regularisation where the trainer adds it
	TrainAccuracy      Float // Curves.Measure on training data; a share from 0 to 1 where it is an accuracy
	ValidationLoss     Float
	ValidationAccuracy Float // Curves.Measure on the validation set
	LearningRate       Float
	// LoggedNaN names the values for which the log itself says nan
	// ("train loss", "validation loss", ...). There NaN is data: the loss is not
	// defined; elsewhere NaN is a value that the log lacks. Infinite values
	// need no name.
	LoggedNaN []string
}

// Names of the values of a Point in LoggedNaN.
const (
	TrainLoss          = "train loss"
	TrainAccuracy      = "train accuracy"
	ValidationLoss     = "validation loss"
	ValidationAccuracy = "validation accuracy"
	LearningRate       = "learning rate"
)

var (
	// ErrNotLog means that a file or folder holds nothing that OpenLog
	// recognises. The error that wraps it says what was looked for.
	ErrNotLog = errors.New("not a training log that ballast knows")
	// ErrNoValidation means that a log was recognised and holds no validation
	// values, so that there is no curve to explain.
	ErrNoValidation = errors.New("the log holds no validation values")
)

// emptyPoint is an epoch of which nothing is known yet.
func emptyPoint(epoch int) Point {
	nan := Float(math.NaN())
	return Point{Epoch: epoch, TrainLoss: nan, TrainAccuracy: nan, ValidationLoss: nan, ValidationAccuracy: nan, LearningRate: nan}
}

// HasValidation reports whether some epoch has a validation value, nan included.
func (c *Curves) HasValidation() bool {
	for i := range c.Points {
		p := &c.Points[i]
		if p.ValidationLoss == p.ValidationLoss || p.ValidationAccuracy == p.ValidationAccuracy {
			return true
		}
		for _, name := range p.LoggedNaN {
			if name == ValidationLoss || name == ValidationAccuracy {
				return true
			}
		}
	}
	return false
}
