package run

import (
	"bytes"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// nnU-Net's training_log_*.txt. Version 2 (nnUNetTrainer.py) writes, each line
// after a time stamp, "Epoch 3", "Current learning rate: 0.0099",
// "train_loss -0.71", "val_loss -0.68", "Pseudo dice [0.83, nan]"; version 1
// "epoch:  3", "train loss : -0.71", "validation loss: -0.68", "Average global
// foreground Dice: [0.83]", "lr: 0.0099". The losses are cross-entropy minus
// Dice and may be negative. The Dice of several classes is averaged without nan,
// as nnU-Net does.

func isNNUNet(head []byte) bool {
	lower := bytes.ToLower(head)
	return bytes.Contains(lower, []byte("pseudo dice")) || bytes.Contains(lower, []byte("global foreground dice"))
}

var (
	nnunetEpoch = regexp.MustCompile(`(?:^|: |\s)[Ee]poch:?\s+(\d{1,9})\s*$`)
	nnunetValue = regexp.MustCompile(`(train_loss|val_loss|train loss|validation loss|Current learning rate|Pseudo dice|Average global foreground Dice|\blr)\s*:?\s+(\[.*\]|[-+\w.]+)`)
	nnunetSplit = regexp.MustCompile(`(\d{1,9}) training and (\d{1,9}) validation cases`)
	nnunetDice  = regexp.MustCompile(`nan|[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?\)?`)
)

// readNNUNet reads the epochs of a log.
func readNNUNet(r io.Reader) ([]*loggedRun, error) {
	run := newLoggedRun("")
	runs := []*loggedRun{run}
	all := newLines(r)
	s := sample{epoch: math.NaN(), step: -1, time: math.NaN()}
	for all.next() {
		line := string(all.line)
		if found := nnunetEpoch.FindStringSubmatch(line); found != nil {
			epoch, _ := strconv.ParseFloat(found[1], 64)
			if epoch < s.epoch && len(runs) < mostRuns {
				run = run.another("")
				run.validation = runs[len(runs)-1].validation
				runs = append(runs, run)
			}
			s.epoch = epoch
			continue
		}
		if found := nnunetSplit.FindStringSubmatch(line); found != nil {
			run.validation, _ = strconv.Atoi(found[2])
			run.note("%d validation cases: the log says so", run.validation)
			continue
		}
		for _, found := range nnunetValue.FindAllStringSubmatch(line, -1) {
			if value, ok := nnunetNumber(found[2]); ok && !math.IsNaN(s.epoch) {
				s.value = value
				run.add(nnunetNames[found[1]], anySet, s)
			}
		}
	}
	run.note("the loss is that of nnU-Net, cross-entropy minus Dice: it may be negative")
	return runs, all.err
}

var nnunetNames = map[string]string{
	"train_loss": "train_loss", "train loss": "train_loss", "val_loss": "val_loss", "validation loss": "val_loss",
	"Current learning rate": "lr", "lr": "lr", "Pseudo dice": "val_dice", "Average global foreground Dice": "val_dice",
}

// nnunetNumber reads a number or the mean of a list of them; the numbers may be
// wrapped as np.float32(0.48).
func nnunetNumber(text string) (float64, bool) {
	if !strings.HasPrefix(text, "[") {
		value, err := strconv.ParseFloat(text, 64)
		return value, err == nil
	}
	text = strings.NewReplacer("np.float32(", "", "np.float64(", "", "float32(", "", ")", "").Replace(text)
	sum, count := 0.0, 0
	for _, one := range nnunetDice.FindAllString(text, mostColumns) {
		if value, err := strconv.ParseFloat(one, 64); err == nil && !math.IsNaN(value) {
			sum += value
			count++
		}
	}
	return sum / float64(count), true // no class at all: nan, as nnU-Net writes
}
