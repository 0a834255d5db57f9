package run

import (
	"bytes"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Text that a training printed: Keras' progress bars and verbose=2 lines,
// MONAI, PyTorch prints, dictionaries of Hugging Face. A line is read as names
// followed by numbers ("val_loss: 0.61", "Val Acc 75.0%", "Accuracy: 45/60");
// the epoch is the last number after the word epoch. An epoch that falls, or a
// line that names another fold, seed or trial, begins another run.

// isText recognises text: whether it is a log is seen only by reading it.
func isText(head []byte) bool {
	if bytes.HasPrefix(head, []byte{0xFF, 0xFE}) || bytes.HasPrefix(head, []byte{0xFE, 0xFF}) {
		return true
	}
	return len(head) > 0 && !bytes.ContainsRune(head, 0) && !bytes.HasPrefix(head, []byte("{\\rtf"))
}

// readText reads the runs of such a text; none when it holds no log.
func readText(r io.Reader) ([]*loggedRun, error) {
	t := textReader{all: newLines(r), parser: textParser{roles: roleCache{}}, run: newLoggedRun("")}
	t.begin()
	for t.all.next() {
		if mayMatter(t.all.line) {
			t.line(string(stripEscapes(t.all.line)))
		}
	}
	t.flush()
	return t.finished(), t.all.err
}

// monai is how MONAI's tutorials print a value of the validation set.
var monai = regexp.MustCompile(`\bcurrent (?:mean |average )?(?:accuracy|dice|auc)`)

// mayMatter passes over lines without any word that the reader knows.
func mayMatter(line []byte) bool {
	if len(line) > 4096 {
		return false // no line of metrics: a dump of something
	}
	digit := bytes.ContainsAny(line, "0123456789")
	for _, word := range [...]string{"poch", "POCH", "oss", "OSS", "cc", "CC", "dice", "Dice", "DICE", "auc", "AUC", "AUROC", "f1", "F1",
		"al", "AL", "rain", "RAIN", "est", "fold", "Fold", "FOLD", "seed", "Seed", "rial", "un", "iou", "IoU", "lr", "LR"} {
		if bytes.Contains(line, []byte(word)) {
			return digit || len(line) < 100
		}
	}
	return false
}

// stripEscapes removes the escape sequences of terminals.
func stripEscapes(line []byte) []byte {
	if !bytes.ContainsRune(line, 0x1b) {
		return line
	}
	kept := line[:0]
	for i := 0; i < len(line); i++ {
		if line[i] != 0x1b {
			kept = append(kept, line[i])
			continue
		}
		if i++; i < len(line) && line[i] == '[' {
			for i++; i < len(line) && (line[i] < '@' || line[i] > '~'); i++ {
			}
		}
	}
	return kept
}

// A textKind says what a value on a line is.
type textKind byte

const (
	batchValue   textKind = iota // of one mini-batch: averaged over the epoch
	runningValue                 // a running mean: the last of the epoch counts
	wholeValue                   // of the epoch
)

// A textValue gathers the values of one name in the epoch being read.
type textValue struct {
	kind   textKind
	values []float64 // wholeValue
	sum    float64   // batchValue
	count  int
}

type textReader struct {
	all  *lines
	runs []*loggedRun
	run  *loggedRun

	epoch     float64 // NaN before the first
	counted   bool    // epochs have numbers
	trailing  bool    // the number of an epoch stands after its values
	keras     bool    // validation values are called val_..., training values have no set
	validated bool    // the epoch has a validation value
	heading   loggedSet
	marker    string // last fold, seed or trial
	size      int    // of the validation set of the run to come
	names     []string
	values    map[string]*textValue
	parser    textParser
}

func (t *textReader) begin() {
	if len(t.runs) < mostRuns {
		t.run = t.run.another(t.marker)
		t.run.validation = t.size
		t.runs = append(t.runs, t.run)
	}
	t.epoch, t.heading, t.validated = math.NaN(), anySet, false
	t.names, t.values = nil, map[string]*textValue{}
}

// flush gives the values of the epoch to its run.
func (t *textReader) flush() {
	epoch := t.epoch
	if math.IsNaN(epoch) {
		epoch = 1
		if t.run.count > 0 {
			epoch = t.run.lastEpoch + 1
		}
	}
	if len(t.names) > 0 {
		t.run.lastEpoch = epoch
	}
	for _, name := range t.names {
		v := t.values[name]
		if v.kind == batchValue {
			v.values = append(v.values, v.sum/float64(v.count))
		}
		for _, x := range v.values {
			t.run.add(name, anySet, sample{epoch: epoch, step: -1, time: math.NaN(), value: x})
		}
	}
	t.names, t.values, t.validated = nil, map[string]*textValue{}, false
}

// line reads one line.
func (t *textReader) line(text string) {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "?")
	}
	lower := strings.ToLower(text)
	if n := validationSize(lower); n > 0 {
		t.foundSize(n)
	}
	for _, remark := range [...]string{"improved from", "not improve", "improvement", "early stop", "earlystop", "reducing learning rate", "reducelronplateau",
		"train_runtime"} { // Hugging Face's summary of a training
		if strings.Contains(lower, remark) {
			return
		}
	}
	if strings.Contains(lower, "current ") && monai.MatchString(lower) {
		t.run.evaluated = true
	}
	p := t.parser.parse(lower)
	if p.marker != "" && p.marker != t.marker {
		t.changeMarker(p.marker)
	}
	if p.hasEpoch {
		t.header(p)
	}
	t.take(p)
}

// foundSize notes the size of the validation set, which Keras prints before a run.
func (t *textReader) foundSize(n int) {
	t.size = n
	if t.run.count == 0 && len(t.names) == 0 {
		t.run.validation = n
	}
}

// changeMarker begins a run at a line that names another fold, seed or trial.
func (t *textReader) changeMarker(marker string) {
	t.marker = marker
	if t.run.count > 0 || len(t.names) > 0 {
		t.flush()
		t.begin()
	}
	t.run.name = marker
}

// header moves to the epoch that a line names.
func (t *textReader) header(p textLine) {
	same := p.epoch == t.epoch
	switch {
	case math.IsNaN(t.epoch) && len(t.names) > 0:
		t.beforeFirst(p)
	case t.trailing:
		if p.epoch < t.epoch {
			names, values := t.names, t.values
			t.names, t.values = nil, map[string]*textValue{}
			t.begin()
			t.names, t.values = names, values
		}
		t.epoch = p.epoch
		t.flush()
	case p.epoch < t.epoch, same && p.bare && t.validated, same && t.contradicts(p):
		t.flush()
		t.begin()
	case p.epoch > t.epoch:
		t.flush()
	}
	t.counted = true
	if !same {
		t.heading = anySet
	}
	t.epoch = p.epoch
}

// beforeFirst handles values before the first epoch of a run: the epoch's own
// where its number comes after them, else settings or an evaluation before the
// training, which belong to no epoch.
func (t *textReader) beforeFirst(p textLine) {
	trained := false
	for _, name := range t.names {
		r := t.parser.roles.of(name)
		trained = trained || isCurve(r) && (r.set == trainSet || r.set == anySet)
	}
	switch {
	case t.keras:
		t.beginsWithin(p.epoch)
	case t.validated && trained && !t.counted && !p.bare && len(p.pairs) == 0:
		t.trailing = true
		t.epoch = p.epoch
		t.flush()
	default:
		t.names, t.values, t.validated = nil, map[string]*textValue{}, false
	}
}

// beginsWithin handles Keras values before the first epoch of a file whose
// beginning is missing: those of the epoch before, unless that was of another run.
func (t *textReader) beginsWithin(next float64) {
	if next <= 1 {
		t.names, t.values, t.validated = nil, map[string]*textValue{}, false
		t.run.note("the file begins with the end of another run, which is left out")
		return
	}
	t.run.note("the file begins in the middle of a training")
	t.epoch = next - 1
	t.flush()
}

// contradicts reports whether a line gives an epoch, the first of its run, that
// was given with another validation value: a run of one epoch that was repeated.
func (t *textReader) contradicts(p textLine) bool {
	if !t.validated || p.epoch > 1 || p.kind != wholeValue {
		return false
	}
	for _, pair := range p.pairs {
		if pair.role.set != validationSet {
			continue
		}
		if known := t.values[pair.name]; known != nil && known.kind == wholeValue && len(known.values) > 0 && known.values[0] != pair.value {
			return true
		}
	}
	return false
}

// take gathers the values of a line.
func (t *textReader) take(p textLine) {
	if len(p.pairs) == 0 || p.kind != wholeValue {
		if p.heading != anySet {
			t.heading = p.heading
		}
	}
	plain, validation := false, false
	for _, pair := range p.pairs {
		plain = plain || pair.role.set == anySet && isCurve(pair.role)
		validation = validation || pair.role.set == validationSet && strings.HasPrefix(pair.name, "val_")
	}
	late := t.keras && t.validated && !validation // evaluate() after the epoch
	t.keras = t.keras || plain && validation
	for _, pair := range p.pairs {
		if pair.role.set == anySet && isCurve(pair.role) {
			if late {
				continue
			}
			if t.heading != anySet && !validation {
				pair.name = setNames[t.heading] + " " + pair.name
				pair.role.set = t.heading
			}
		}
		t.value(pair, p.kind)
	}
}

var setNames = [...]string{trainSet: "train", validationSet: "val", testSet: "test"}

// value gathers one value of the epoch.
func (t *textReader) value(pair textPair, kind textKind) {
	if pair.running && kind != wholeValue {
		kind = runningValue
	}
	validation := isCurve(pair.role) && (pair.role.set == validationSet || pair.role.set == testSet)
	known := t.values[pair.name]
	if known != nil && !t.counted && t.validated && kind == wholeValue && len(known.values) > 0 {
		t.flush() // no numbers of epochs: a name that comes again begins the next
		known = nil
	}
	if known == nil {
		if len(t.names) >= mostSeries {
			return
		}
		known = &textValue{kind: kind}
		t.values[pair.name] = known
		t.names = append(t.names, pair.name)
	}
	known.take(pair.value, kind)
	t.validated = t.validated || validation && kind != batchValue
	if pair.outOf > 0 && pair.role.set != trainSet && pair.role.measure == "accuracy" {
		t.run.validation = pair.outOf
	}
	if pair.percent && isCurve(pair.role) {
		t.run.percent = true
	}
}

func (v *textValue) take(x float64, kind textKind) {
	const mostRepeats = 10_000
	switch {
	case kind < v.kind:
		return
	case kind > v.kind:
		*v = textValue{kind: kind}
	}
	switch {
	case kind == batchValue:
		v.sum, v.count = v.sum+x, v.count+1
	case kind == runningValue:
		v.values = append(v.values[:0], x)
	case len(v.values) == 0 || len(v.values) < mostRepeats && v.values[len(v.values)-1] != x:
		v.values = append(v.values, x)
	}
}

// finished drops runs that are none: a text without epochs needs two points of
// validation values to count as a log.
func (t *textReader) finished() []*loggedRun {
	runs := slices.DeleteFunc(t.runs, func(one *loggedRun) bool {
		if one.count == 0 {
			return true
		}
		if t.all.cut {
			one.note("lines of more than %d bytes were cut", longestLine)
		}
		return !t.counted && one.pick(func(r role) bool {
			return isCurve(r) && (r.set == validationSet || r.set == testSet)
		}) == nil
	})
	if !t.counted && len(runs) == 1 && runs[0].lastEpoch < 2 {
		return nil
	}
	for _, one := range runs {
		if !t.counted {
			one.note("the text numbers no epochs: a validation value that comes again begins the next")
		}
		if one.validation > 0 {
			one.note("%d validation samples: the text says so", one.validation)
		}
	}
	return runs
}
