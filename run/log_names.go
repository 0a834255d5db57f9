package run

import (
	"strings"
	"unicode"
)

// A quantity is what the values of a logged name are.
type quantity byte

const (
	otherQuantity quantity = iota
	lossQuantity
	measureQuantity // accuracy and what takes its place; role.measure names it
	errorQuantity   // 1 - accuracy
	rateQuantity    // learning rate
	epochQuantity
	stepQuantity
	timeQuantity
)

// A set of subjects that logged values are of.
type loggedSet byte

const (
	anySet        loggedSet = iota // the name does not say
	trainSet                       // training
	validationSet                  // validation
	testSet                        // test
)

// A role is what a name in a log stands for.
type role struct {
	set      loggedSet
	quantity quantity
	measure  string // for measureQuantity: a key of measureRanks
	assigned bool   // the set was concluded from other names
	rank     int    // of several names with one role the one of lowest rank is taken
}

// measureRanks orders the measures that can play accuracy, best first. Accuracy
// and balanced accuracy are shares of subjects; the others have no binomial
// error but fluctuate in the same way.
var measureRanks = map[string]int{
	"accuracy": 0, "balanced accuracy": 1, "AUROC": 2, "F1": 3, "Dice": 4, "IoU": 5,
	"MCC": 6, "kappa": 7, "mAP": 8, "R2": 9, "pixel accuracy": 10,
}

var setWords = map[string]loggedSet{
	"train": trainSet, "training": trainSet, "trn": trainSet, "tr": trainSet, "tra": trainSet,
	"val": validationSet, "valid": validationSet, "validation": validationSet, "validate": validationSet,
	"eval": validationSet, "evaluation": validationSet, "dev": validationSet, "vl": validationSet, "vali": validationSet,
	"test": testSet, "testing": testSet, "tst": testSet, "holdout": testSet,
}

var quantityWords = map[string]role{
	"loss": {quantity: lossQuantity}, "losses": {quantity: lossQuantity}, "cost": {quantity: lossQuantity},
	"nll": {quantity: lossQuantity, rank: 2}, "crossentropy": {quantity: lossQuantity, rank: 2}, "ce": {quantity: lossQuantity, rank: 2},
	"acc": {quantity: measureQuantity, measure: "accuracy"}, "accuracy": {quantity: measureQuantity, measure: "accuracy"},
	"accu": {quantity: measureQuantity, measure: "accuracy"}, "accs": {quantity: measureQuantity, measure: "accuracy"},
	"accuracies": {quantity: measureQuantity, measure: "accuracy"}, "aucs": {quantity: measureQuantity, measure: "AUROC"},
	"dices": {quantity: measureQuantity, measure: "Dice"}, "f1s": {quantity: measureQuantity, measure: "F1"}, "lrs": {quantity: rateQuantity},
	"top1": {quantity: measureQuantity, measure: "accuracy"},
	"acc1": {quantity: measureQuantity, measure: "accuracy"}, "prec1": {quantity: measureQuantity, measure: "accuracy"},
	"bacc": {quantity: measureQuantity, measure: "balanced accuracy"},
	"auc":  {quantity: measureQuantity, measure: "AUROC"}, "auroc": {quantity: measureQuantity, measure: "AUROC"},
	"rocauc": {quantity: measureQuantity, measure: "AUROC"},
	"f1":     {quantity: measureQuantity, measure: "F1"}, "f1score": {quantity: measureQuantity, measure: "F1"},
	"dice": {quantity: measureQuantity, measure: "Dice"}, "dsc": {quantity: measureQuantity, measure: "Dice"},
	"iou": {quantity: measureQuantity, measure: "IoU"}, "miou": {quantity: measureQuantity, measure: "IoU"}, "jaccard": {quantity: measureQuantity, measure: "IoU"},
	"mcc": {quantity: measureQuantity, measure: "MCC"}, "kappa": {quantity: measureQuantity, measure: "kappa"},
	"map": {quantity: measureQuantity, measure: "mAP"}, "map50": {quantity: measureQuantity, measure: "mAP"},
	// Of pixels, by MMSegmentation: over all classes, mean of the classes.
	"aacc": {quantity: measureQuantity, measure: "pixel accuracy"}, "macc": {quantity: measureQuantity, measure: "pixel accuracy", rank: 1},
	"r2":  {quantity: measureQuantity, measure: "R2"},
	"err": {quantity: errorQuantity}, "error": {quantity: errorQuantity},
	"lr":    {quantity: rateQuantity},
	"epoch": {quantity: epochQuantity}, "epochs": {quantity: epochQuantity},
	"step": {quantity: stepQuantity}, "iter": {quantity: stepQuantity}, "iteration": {quantity: stepQuantity},
	"time": {quantity: timeQuantity}, "timestamp": {quantity: timeQuantity},
}

// plainWords do not change what a name stands for.
var plainWords = map[string]bool{
	"avg": true, "average": true, "mean": true, "epoch": true, "metrics": true, "metric": true, "current": true,
	"total": true, "overall": true, "set": true, "binary": true, "categorical": true, "sparse": true, "score": true,
	"model": true, "of": true, "the": true, "macro": true, "global": true, "scalars": true, "multiclass": true,
	"foreground": true, "pseudo": true, "cross": true, "entropy": true, "classification": true, "rate": true,
}

// wrongWords make another quantity of a name: a part of it, a spread, a best
// value so far.
var wrongWords = map[string]bool{
	"best": true, "std": true, "min": true, "max": true, "top5": true, "top3": true, "top2": true, "acc5": true, "prec5": true, "top10": true,
	"weight": true, "scale": true, "delta": true, "smooth": true, "smoothed": true, "ema": true, "learning": true, "gap": true,
	"regularization": true, "regularisation": true, "reg": true, "kl": true, "l1": true, "l2": true, "gradient": true, "grad": true,
	"final": true, "sensitivity": true, "specificity": true, "early": true, "runtime": true, "second": true, "seconds": true,
}

// stepWords mark values of single mini-batches.
var stepWords = map[string]bool{"step": true, "batch": true, "iter": true, "iterations": true, "iteration": true}

// words cuts a name into lower-case words at everything that is no letter or
// digit and, unless it is a word as it stands ("mIoU"), where a small letter is
// followed by a capital: "valAcc@1" is "val", "acc1".
func words(name string) []string {
	name = strings.ReplaceAll(strings.ReplaceAll(name, "@", ""), "top-", "top")
	var all []string
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if _, known := quantityWords[strings.ToLower(part)]; known {
			all = append(all, strings.ToLower(part))
			continue
		}
		start, before := 0, ' '
		for i, r := range part {
			if unicode.IsUpper(r) && unicode.IsLower(before) {
				all = append(all, strings.ToLower(part[start:i]))
				start = i
			}
			before = r
		}
		all = append(all, strings.ToLower(part[start:]))
	}
	return all
}

// roleOf decides what a logged name stands for by its words.
func roleOf(name string) role {
	if len(name) > 200 {
		return role{}
	}
	return roleOfWords(splitCompounds(words(name)))
}

// splitCompounds separates the set from the quantity in words that people
// write together: "valloss", "trainacc".
func splitCompounds(all []string) []string {
	split := make([]string, 0, len(all)+1)
	for _, word := range all {
		split = append(split, splitCompound(word)...)
	}
	return split
}

func splitCompound(word string) []string {
	if _, known := quantityWords[word]; known || setWords[word] != anySet {
		return []string{word}
	}
	for i := 2; i < len(word)-1; i++ {
		if setWords[word[:i]] != anySet {
			if _, known := quantityWords[word[i:]]; known {
				return []string{word[:i], word[i:]}
			}
		}
		if setWords[word[i:]] != anySet {
			if _, known := quantityWords[word[:i]]; known {
				return []string{word[i:], word[:i]}
			}
		}
	}
	return []string{word}
}

func roleOfWords(all []string) role {
	var r role
	for i, word := range all {
		next := ""
		if i+1 < len(all) {
			next = all[i+1]
		}
		switch set, isSet := setWords[word]; {
		case word == "learning" && (next == "rate" || next == "rates"), word == "learningrate":
			return role{set: r.set, quantity: rateQuantity}
		case word == "lr":
			return role{set: r.set, quantity: rateQuantity, rank: len(all)}
		case word == "balanced" && (next == "accuracy" || next == "acc"):
			r.rank -= 100 // the word itself makes it another measure below
			r.measure = "balanced accuracy"
		case wrongWords[word]:
			return role{}
		case isSet:
			// "evaluation accuracy of the training set": the last word tells
			r.set = set
		case stepWords[word] && len(all) > 1:
			r.rank += 10
		default:
			r = r.with(word, len(all) > 1)
		}
	}
	return r.finished()
}

// with adds one word to what is known of a name.
func (r role) with(word string, oneOfSeveral bool) role {
	known, isQuantity := quantityWords[word]
	timing := known.quantity == epochQuantity || known.quantity == timeQuantity || known.quantity == stepQuantity
	switch {
	case isQuantity && timing && oneOfSeveral:
		if known.quantity == timeQuantity {
			r.rank += 1000
		}
	case isQuantity && r.quantity == lossQuantity && known.quantity == measureQuantity:
		r.rank += 3 // "dice_loss" is a loss
	case isQuantity && known.quantity == lossQuantity && r.quantity == measureQuantity:
		r.quantity, r.measure, r.rank = lossQuantity, "", r.rank+3
	case isQuantity && r.quantity == otherQuantity:
		if r.measure == "" {
			r.measure = known.measure
		}
		r.quantity, r.rank = known.quantity, r.rank+known.rank
	case isQuantity && r.quantity == measureQuantity && known.quantity == measureQuantity:
		if known.measure != r.measure && r.measure != "balanced accuracy" {
			r.rank += 20
		}
	case isQuantity && r.quantity != known.quantity:
		r.rank += 20
	case plainWords[word] || word == "roc":
	default:
		r.rank += 5 // a word that may name a class, a head, a task
	}
	return r
}

func (r role) finished() role {
	if r.measure == "balanced accuracy" {
		r.rank += 100
	}
	if r.rank >= 1000 || r.quantity == otherQuantity {
		return role{set: r.set}
	}
	return r
}
