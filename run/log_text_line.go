package run

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// A textLine is what one line of a text says.
type textLine struct {
	epoch    float64
	hasEpoch bool
	bare     bool // nothing but the epoch
	marker   string
	heading  loggedSet
	kind     textKind
	pairs    []textPair
}

// A textPair is a name with its number.
type textPair struct {
	name    string
	role    role
	value   float64
	percent bool
	running bool // a mean in parentheses behind a value of the batch
	outOf   int  // n of "45/60"
}

var (
	sizeBefore = regexp.MustCompile(`validate on (\d+) samples|\b(\d+) validation (?:cases|samples|images|subjects|scans|patients|volumes)\b`)
	sizeAfter  = regexp.MustCompile(`\bval(?:idation)? (?:cases|samples|images|subjects|scans|patients|volumes|set size|size)\s*[:=]\s*(\d+)`)
)

// progressMarks stand in the progress bars of Keras and tqdm.
var progressMarks = [...]string{"s/step", "s/it", "it/s", "eta:", "[=", "[>", "=]", "━", "%|"}

// batchWords stand before the number of a mini-batch.
var batchWords = map[string]bool{"batch": true, "batches": true, "iter": true, "iteration": true, "iters": true, "step": true, "steps": true, "minibatch": true, "it": true}

var sizeWords = [...]string{"sample", "image", "case", "subject", "scan", "patient", "volume", "size"}

func containsAny(text string, words []string) bool {
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// validationSize reads "validate on 120 samples" and its like; 0 if the line
// says nothing of the kind.
func validationSize(line string) int {
	if !strings.Contains(line, "val") || !containsAny(line, sizeWords[:]) {
		return 0
	}
	for _, pattern := range []*regexp.Regexp{sizeBefore, sizeAfter} {
		for i, text := range pattern.FindStringSubmatch(line) {
			if n, err := strconv.Atoi(text); i > 0 && err == nil && n > 0 && n < math.MaxInt32 {
				return n
			}
		}
	}
	return 0
}

type tokenKind byte

const (
	endToken tokenKind = iota
	wordToken
	numberToken
	markToken // one character of punctuation
)

type token struct {
	kind   tokenKind
	text   string
	number float64
}

// A lineParser goes through the tokens of a line.
type lineParser struct {
	tokens []token
	at     int
	result textLine
	key    []string  // words since the last boundary
	set    loggedSet // that a word by itself named on this line
	words  int       // words that are no part of the epoch
	last   int       // index of the pair just read, -1 after anything else
	batch  bool      // the number of a mini-batch was seen
	roles  roleCache
}

// A roleCache remembers what names stand for: a log has few, on many lines.
type roleCache map[string]role

func (r roleCache) of(name string) role {
	known, found := r[name]
	if !found {
		known = roleOf(name)
		if len(r) < 10_000 && r != nil {
			r[name] = known
		}
	}
	return known
}

// A textParser is what parsing keeps from line to line.
type textParser struct {
	roles  roleCache
	tokens []token
}

// parse reads a line in lower case.
func (t *textParser) parse(line string) textLine {
	t.tokens = tokenize(line, t.tokens[:0])
	p := lineParser{tokens: t.tokens, last: -1, roles: t.roles}
	for p.at < len(p.tokens) {
		p.step()
	}
	p.boundary()
	p.result.heading = p.set
	p.result.bare = p.result.hasEpoch && p.words == 0 && len(p.result.pairs) == 0
	p.result.kind = wholeValue
	switch {
	case containsAny(line, progressMarks[:]):
		p.result.kind, p.result.bare = runningValue, false
	case p.batch:
		p.result.kind = batchValue
		if p.evaluates() {
			p.result.kind = wholeValue
		}
	}
	return p.result
}

// evaluates reports whether a line with a number of batches gives values of a
// whole set: "45/60" right, or training and validation side by side.
func (p *lineParser) evaluates() bool {
	train, validation := false, false
	for _, pair := range p.result.pairs {
		if pair.outOf > 0 {
			return true
		}
		train = train || pair.role.set == trainSet
		validation = validation || pair.role.set == validationSet
	}
	return train && validation
}

func (p *lineParser) peek(ahead int) token {
	if p.at+ahead < len(p.tokens) {
		return p.tokens[p.at+ahead]
	}
	return token{}
}

// step reads the next token and what belongs to it.
func (p *lineParser) step() {
	one := p.peek(0)
	p.at++
	switch one.kind {
	case wordToken:
		p.word(one)
	case numberToken:
		p.number(one)
	case markToken:
		p.mark(one)
	}
}

func (p *lineParser) word(one token) {
	switch {
	case (one.text == "epoch" || one.text == "ep" || one.text == "epochs") && p.epoch(one.text):
		return
	case markers[one.text] && len(p.result.pairs) == 0 && p.fold(one.text):
		return
	case (one.text == "tensor" || strings.HasSuffix(one.text, "float32") || strings.HasSuffix(one.text, "float64")) && p.peek(0).text == "(":
		p.at++
		return
	}
	p.words++
	p.last = -1
	p.key = append(p.key, one.text)
}

var markers = map[string]bool{"fold": true, "seed": true, "trial": true, "run": true, "repeat": true, "repetition": true, "replicate": true}

// fold reads the number of a fold, seed or trial.
func (p *lineParser) fold(word string) bool {
	ahead := p.skipMarks(0, ":=#[(_ ")
	one := p.peek(ahead)
	if one.kind != numberToken || one.number != math.Trunc(one.number) || one.number < 0 || len(one.text) > 10 || ahead > 2 {
		return false
	}
	p.at += ahead + 1
	if p.peek(0).text == "/" && p.peek(1).kind == numberToken {
		p.at += 2
	}
	p.result.marker = word + " " + one.text
	p.key = nil
	return true
}

func (p *lineParser) skipMarks(ahead int, marks string) int {
	for p.peek(ahead).kind == markToken && strings.Contains(marks, p.peek(ahead).text) {
		ahead++
	}
	return ahead
}

// epoch reads "epoch 3/20", "epoch: [3]", "epoch 3 of 20"; not "at epoch 3",
// which speaks of another, and not "epochs: 20".
func (p *lineParser) epoch(word string) bool {
	before := ""
	if len(p.key) > 0 {
		before = p.key[len(p.key)-1]
	}
	ahead := p.skipMarks(0, ":=#[('\"-")
	one := p.peek(ahead)
	if one.kind != numberToken || one.number < 0 || ahead > 3 || math.IsInf(one.number, 0) || math.IsNaN(one.number) {
		return false
	}
	used, plural := ahead+1, word == "epochs"
	next := p.skipMarks(used, "])")
	if over := p.peek(next); (over.text == "/" || over.text == "of") && p.peek(next+1).kind == numberToken {
		used, plural = next+2, false
	}
	used = p.skipMarks(used, "])'\":,")
	p.at += used
	p.key, p.last = nil, -1
	if before == "at" || before == "best" || before == "from" || before == "in" || before == "after" || before == "for" || before == "last" ||
		plural {
		return true
	}
	if !p.result.hasEpoch {
		p.result.epoch, p.result.hasEpoch = one.number, true
	}
	return true
}

// number gives a number to the name before it.
func (p *lineParser) number(one token) {
	percent := p.peek(0).text == "%"
	outOf := 0.0
	if p.peek(0).text == "/" && p.peek(1).kind == numberToken {
		outOf = p.peek(1).number
		p.at += 2
	}
	key := p.key
	p.key, p.last = nil, -1
	if n := len(key); n > 0 && (key[n-1] == "is" || key[n-1] == "of") {
		key = key[:n-1]
	}
	if len(key) == 0 {
		p.batch = p.batch || outOf > 0
		return
	}
	if len(key) > 5 {
		key = key[len(key)-5:]
	}
	pair, ok := p.pair(strings.Join(key, " "), one.number)
	if !ok {
		p.batch = p.batch || batchWords[key[len(key)-1]]
		p.batch = p.batch || outOf > 0
		return
	}
	pair.percent = percent
	if outOf > 0 {
		if pair.role.quantity != measureQuantity || one.number > outOf || outOf > math.MaxInt32 || outOf != math.Trunc(outOf) {
			return
		}
		pair.value, pair.outOf = one.number/outOf, int(outOf)
	}
	p.result.pairs = append(p.result.pairs, pair)
	p.last = len(p.result.pairs) - 1
}

// pair makes a pair of a name that means something.
func (p *lineParser) pair(name string, value float64) (textPair, bool) {
	r := p.roles.of(name)
	if r.quantity == otherQuantity || r.quantity == epochQuantity || r.quantity == stepQuantity || r.quantity == timeQuantity {
		if alone := p.alone(name); alone != anySet {
			p.set = alone
		}
		return textPair{}, false
	}
	if alone := p.alone(name); alone != anySet {
		p.set = alone
	}
	if r.set == anySet && p.set != anySet && isCurve(r) {
		name, r.set = setNames[p.set]+" "+name, p.set
	}
	return textPair{name: name, role: r, value: value}, true
}

// alone is the set that a word of its own names: it holds for the rest of the line.
func (p *lineParser) alone(name string) loggedSet {
	set := anySet
	for word := range strings.FieldsSeq(name) {
		if one := setWords[strings.Trim(word, ".")]; one != anySet {
			set = one
		}
	}
	return set
}

func (p *lineParser) mark(one token) {
	switch one.text {
	case ":", "=":
		if next := p.peek(p.skipMarks(0, "'\"[ ")); next.kind == numberToken || p.wrapped() {
			return
		}
		if p.peek(0).text == "=" || p.peek(0).text == ":" || p.peek(0).text == "'" || p.peek(0).text == "\"" {
			return
		}
		p.boundary()
	case "(":
		if p.last >= 0 && p.peek(0).kind == numberToken && p.peek(1).text == ")" && p.result.pairs[p.last].outOf == 0 {
			p.result.pairs[p.last].value = p.peek(0).number
			p.result.pairs[p.last].running = true
			p.at += 2
			return
		}
		p.boundary()
	case ",":
		if p.peek(0).kind == numberToken && isCurve(p.roles.of(strings.Join(p.key, " "))) {
			return // "loss_train, 0.838"
		}
		p.boundary()
	case "'", "\"", "%", "[":
	default:
		p.boundary()
	}
}

// wrapped reports whether a number follows in tensor(...) or np.float32(...).
func (p *lineParser) wrapped() bool {
	return p.peek(0).kind == wordToken && p.peek(1).text == "("
}

// boundary ends a name; one that is a set holds for the rest of the line.
func (p *lineParser) boundary() {
	if set := p.alone(strings.Join(p.key, " ")); set != anySet && len(p.key) <= 3 {
		p.set = set
	}
	p.key, p.last = nil, -1
}

// tokenize appends the words, numbers and punctuation of a line to tokens.
func tokenize(line string, tokens []token) []token {
	for i := 0; i < len(line); {
		c := line[i]
		switch n := numberLength(line[i:], i > 0 && isWordByte(line[i-1])); {
		case c == ' ' || c == '\t':
			i++
		case n > 0:
			value, _ := strconv.ParseFloat(line[i:i+n], 64)
			tokens = append(tokens, token{kind: numberToken, text: line[i : i+n], number: value})
			i += n
		case isLetter(c):
			n := wordLength(line[i:])
			tokens = append(tokens, wordOrNumber(line[i:i+n]))
			i += n
		case c >= '0' && c <= '9': // digits that run into letters: 30s, 3d
			n := wordLength(line[i:])
			tokens = append(tokens, token{kind: markToken, text: "?"})
			i += max(n, 1)
		default:
			tokens = append(tokens, token{kind: markToken, text: line[i : i+1]})
			i++
		}
	}
	return tokens
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c == '_' || c >= 0x80 }

func isWordByte(c byte) bool { return isLetter(c) || c >= '0' && c <= '9' }

// wordOrNumber reads nan and inf, which Python prints, as numbers.
func wordOrNumber(text string) token {
	switch text {
	case "nan", "inf", "infinity":
		value, _ := strconv.ParseFloat(text, 64)
		return token{kind: numberToken, text: text, number: value}
	}
	return token{kind: wordToken, text: text}
}

// wordLength is the length of the word at the start: letters and digits, joined
// by _ @ and, between letters, by / . and -.
func wordLength(text string) int {
	n := 0
	for n < len(text) {
		c := text[n]
		joint := c == '@' || (c == '/' || c == '.' || c == '-') && n > 0 && n+1 < len(text) &&
			(isLetter(text[n+1]) || strings.HasSuffix(text[:n], "top") && text[n+1] >= '0' && text[n+1] <= '9')
		if !isWordByte(c) && !joint {
			break
		}
		n++
	}
	return n
}

// numberLength is the length of the number at the start, 0 if there is none: an
// optional sign, digits with a point, an exponent, and no letter behind.
func numberLength(text string, inWord bool) int {
	n := 0
	if (text[0] == '-' || text[0] == '+') && !inWord {
		n++
		if strings.HasPrefix(text[n:], "inf") && (len(text) == n+3 || !isWordByte(text[n+3])) {
			return n + 3
		}
	}
	digits := 0
	for ; n < len(text) && (text[n] >= '0' && text[n] <= '9'); n++ {
		digits++
	}
	if n < len(text) && text[n] == '.' {
		for n++; n < len(text) && text[n] >= '0' && text[n] <= '9'; n++ {
			digits++
		}
	}
	if digits == 0 {
		return 0
	}
	if n < len(text) && text[n] == 'e' {
		m := n + 1
		if m < len(text) && (text[m] == '-' || text[m] == '+') {
			m++
		}
		if m < len(text) && text[m] >= '0' && text[m] <= '9' {
			for n = m; n < len(text) && text[n] >= '0' && text[n] <= '9'; n++ {
			}
		}
	}
	if n < len(text) && isLetter(text[n]) {
		return 0
	}
	return n
}
