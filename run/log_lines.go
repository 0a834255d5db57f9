package run

import (
	"bufio"
	"bytes"
	"io"
	"unicode/utf16"
)

// longestLine is what is kept of a line of a log; metrics stand in short ones.
const longestLine = 64 << 10

// lines gives the lines of a log one by one in bounded memory, whatever the
// length of file and lines. A carriage return or backspace ends a line too:
// progress bars are overwritten with them.
type lines struct {
	reader *bufio.Reader
	line   []byte
	cut    bool  // some line was longer than longestLine
	err    error // why reading ended, io.EOF apart
	done   bool
}

func newLines(r io.Reader) *lines {
	buffered := bufio.NewReaderSize(r, 64<<10)
	if mark, _ := buffered.Peek(3); bytes.HasPrefix(mark, []byte{0xFF, 0xFE}) || bytes.HasPrefix(mark, []byte{0xFE, 0xFF}) {
		buffered.Discard(2)
		buffered = bufio.NewReaderSize(&utf16Reader{source: buffered, big: mark[0] == 0xFE}, 64<<10)
	} else if bytes.Equal(mark, []byte("\xEF\xBB\xBF")) {
		buffered.Discard(3)
	}
	return &lines{reader: buffered}
}

// next moves to the next line that is not empty and reports whether there is one.
// The line is valid until the next call.
func (l *lines) next() bool {
	for !l.done {
		l.read()
		if len(l.line) > 0 {
			return true
		}
	}
	return false
}

func (l *lines) read() {
	l.line = l.line[:0]
	for {
		waiting, err := l.reader.Peek(max(1, l.reader.Buffered()))
		if err != nil && len(waiting) == 0 {
			l.done = true
			if err != io.EOF {
				l.err = err
			}
			return
		}
		end := bytes.IndexAny(waiting, "\n\r\b")
		piece := waiting
		if end >= 0 {
			piece = waiting[:end]
		}
		if room := longestLine - len(l.line); len(piece) > room {
			piece, l.cut = piece[:room], true
		}
		l.line = append(l.line, piece...)
		used := len(waiting)
		if end >= 0 {
			used = end + 1
		}
		l.reader.Discard(used)
		if end >= 0 {
			return
		}
	}
}

// utf16Reader turns UTF-16, which PowerShell writes when it redirects output to
// a file, into UTF-8.
type utf16Reader struct {
	source  *bufio.Reader
	big     bool
	pending []byte
	high    rune // first half of a surrogate pair
}

func (u *utf16Reader) Read(p []byte) (int, error) {
	for len(u.pending) == 0 {
		var pair [2]byte
		if _, err := io.ReadFull(u.source, pair[:]); err != nil {
			if err == io.ErrUnexpectedEOF {
				err = io.EOF
			}
			return 0, err
		}
		unit := rune(pair[0]) | rune(pair[1])<<8
		if u.big {
			unit = rune(pair[1]) | rune(pair[0])<<8
		}
		switch {
		case unit >= 0xD800 && unit < 0xDC00:
			u.high = unit
			continue
		case utf16.IsSurrogate(unit):
			unit = utf16.DecodeRune(u.high, unit)
		}
		u.pending = append(u.pending[:0], string(unit)...)
	}
	n := copy(p, u.pending)
	u.pending = u.pending[n:]
	return n, nil
}
