package run

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"regexp"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// W&B's transaction log, run-ID.wandb: seven bytes ":W&B", 0xBEE1, version 0,
// then a LevelDB log in blocks of 32 KiB counted from the start of the file.
// A chunk is
//
//	uint32 CRC-32 (IEEE) of type and payload | uint16 length | uint8 type | payload
//
// little-endian, the type 1 for a whole record, 2, 3, 4 for its first, middle
// and last part; fewer than seven bytes at the end of a block are padding
// (wandb/core/pkg/leveldb/record.go). A record is a protocol buffer
// (wandb_internal.proto): history = 2, config = 5, run = 17, exit = 18.

const (
	wandbMagic  = ":W&B\xE1\xBE\x00"
	wandbBlock  = 32 << 10
	chunkHeader = 7
)

func isWandb(head []byte) bool {
	return strings.HasPrefix(string(head[:min(len(head), 7)]), wandbMagic)
}

var errDamagedChunk = errors.New("damaged chunk")

// A chunkReader gives the records of a LevelDB log.
type chunkReader struct {
	reader  *bufio.Reader
	block   int // bytes of the block that have been read
	damaged int // chunks that were left out
	cut     bool
	chunk   []byte
}

// chunk reads the next chunk; io.EOF at the end.
func (c *chunkReader) next() (kind byte, payload []byte, err error) {
	if left := wandbBlock - c.block; left < chunkHeader {
		if err := c.discard(left); err != nil {
			return 0, nil, err
		}
	}
	var header [chunkHeader]byte
	n, err := io.ReadFull(c.reader, header[:])
	if err != nil {
		c.cut = c.cut || n > 0
		return 0, nil, endOf(err)
	}
	c.block += chunkHeader
	length := int(binary.LittleEndian.Uint16(header[4:]))
	if length > wandbBlock-c.block {
		return 0, nil, errors.Join(errDamagedChunk, c.discard(wandbBlock-c.block))
	}
	c.chunk = append(c.chunk[:0], header[6:]...)
	if c.chunk, err = readGrowing(c.reader, c.chunk, 1+length); err != nil {
		c.cut = true
		return 0, nil, endOf(err)
	}
	c.block += length
	if crc32.ChecksumIEEE(c.chunk) != binary.LittleEndian.Uint32(header[:]) {
		return 0, nil, errors.Join(errDamagedChunk, c.discard(wandbBlock-c.block))
	}
	return header[6], c.chunk[1:], nil
}

// discard passes over the rest of a block.
func (c *chunkReader) discard(n int) error {
	_, err := c.reader.Discard(n)
	c.block = 0
	return endOf(err)
}

func endOf(err error) error {
	if err == io.ErrUnexpectedEOF {
		return io.EOF
	}
	return err
}

// records gives every whole record to yield. Damaged chunks are left out with the
// rest of their block, as LevelDB does.
func (c *chunkReader) records(yield func([]byte)) error {
	var record []byte
	open := false
	for {
		kind, payload, err := c.next()
		switch {
		case err == io.EOF:
			c.cut = c.cut || open
			return nil
		case errors.Is(err, errDamagedChunk):
			c.damaged++
			if open = false; errors.Is(err, io.EOF) {
				return nil
			}
			continue
		case err != nil:
			return err
		}
		if kind == 1 || kind == 2 {
			record, open = record[:0], true
		}
		if !open || kind < 1 || kind > 4 {
			continue
		}
		if record = append(record, payload...); len(record) > largestRecord {
			open = false
			continue
		}
		if kind == 1 || kind == 4 {
			yield(record)
			open = false
		}
	}
}

// readWandb reads the history of a .wandb file.
func readWandb(r io.Reader) ([]*loggedRun, error) {
	chunks := chunkReader{reader: bufio.NewReaderSize(r, wandbBlock), block: len(wandbMagic)}
	if _, err := chunks.reader.Discard(len(wandbMagic)); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	w := wandbReader{byPrefix: map[string]*loggedRun{}}
	bad := 0
	err := chunks.records(func(record []byte) {
		if w.record(record) != nil {
			bad++
		}
	})
	if len(w.runs) == 0 {
		w.run("")
	}
	for _, one := range w.runs {
		one.classes = w.classes
	}
	first := w.runs[0]
	if chunks.damaged+bad > 0 {
		first.note("%d damaged records (checksum) are left out", chunks.damaged+bad)
	}
	if chunks.cut {
		first.note("the last record is cut short: the training was killed or still writes")
	}
	if w.rows == 0 {
		first.note("the file holds no history rows: nothing was logged with wandb.log")
	} else if !w.exited {
		first.note("the run did not finish: the training was killed or still writes")
	}
	return w.runs, err
}

// A wandbReader collects history rows into runs: keys that begin with a fold or
// seed belong to runs of their own.
type wandbReader struct {
	runs     []*loggedRun
	byPrefix map[string]*loggedRun
	rows     int
	classes  int
	exited   bool
}

func (w *wandbReader) run(prefix string) *loggedRun {
	one, known := w.byPrefix[prefix]
	if !known && len(w.runs) < mostRuns {
		one = newLoggedRun(prefix)
		if len(w.runs) > 0 {
			one = w.runs[0].another(prefix)
		}
		w.byPrefix[prefix] = one
		w.runs = append(w.runs, one)
	}
	return one
}

func (w *wandbReader) record(record []byte) error {
	return wireFields(record, func(number protowire.Number, bytes []byte, _ uint64) error {
		switch number {
		case 2:
			return w.history(bytes)
		case 5:
			return w.config(bytes)
		case 17: // RunRecord.config = 4
			return wireFields(bytes, func(number protowire.Number, bytes []byte, _ uint64) error {
				if number != 4 {
					return nil
				}
				return w.config(bytes)
			})
		case 18:
			w.exited = true
		}
		return nil
	})
}

// item reads key = 1, nested_key = 2, value_json = 16 of a history or config item.
func wandbItem(item []byte) (key, value string, err error) {
	var nested []string
	err = wireFields(item, func(number protowire.Number, bytes []byte, _ uint64) error {
		switch {
		case number == 1:
			key = string(bytes)
		case number == 2 && len(nested) < deepest:
			nested = append(nested, string(bytes))
		case number == 16:
			value = string(bytes)
		}
		return nil
	})
	if len(nested) > 0 {
		key = strings.Join(nested, "/")
	}
	return key, value, err
}

// history reads HistoryRecord: item = 1, step = 2 {num = 1}.
func (w *wandbReader) history(row []byte) error {
	s := sample{epoch: math.NaN(), step: -1, time: math.NaN()}
	values := map[string]float64{}
	var order []string
	err := wireFields(row, func(number protowire.Number, bytes []byte, _ uint64) error {
		switch number {
		case 1:
			key, text, err := wandbItem(bytes)
			if err != nil {
				return err
			}
			if x, ok := parseJSONNumber(text); ok && len(order) < mostColumns && len(key) <= nameLimit {
				values[key] = x
				order = append(order, key)
			}
		case 2:
			return wireFields(bytes, func(number protowire.Number, _ []byte, bits uint64) error {
				if number == 1 && bits < math.MaxInt32 {
					s.step = int64(bits)
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.rows++
	w.row(values, order, s)
	return nil
}

var runPrefix = regexp.MustCompile(`^(fold|seed|run|trial|split|repeat)[_\- ]?(\d{1,9})[/_.]`)

func (w *wandbReader) row(values map[string]float64, order []string, s sample) {
	if step, ok := values["_step"]; ok && step >= 0 && step < math.MaxInt32 {
		s.step = int64(step)
	}
	step, ownSteps := values["trainer/global_step"] // Lightning's count of optimiser steps
	if ownSteps && step >= 0 && step < math.MaxInt32 {
		s.step = int64(step)
	}
	if stamp, ok := values["_timestamp"]; ok {
		s.time = stamp
	}
	for _, key := range order {
		prefix, name := "", key
		if found := runPrefix.FindStringSubmatch(key); found != nil {
			prefix, name = found[1]+" "+found[2], key[len(found[0]):]
		}
		switch roleOf(name).quantity {
		case otherQuantity, epochQuantity, stepQuantity, timeQuantity:
			continue
		}
		one := s
		one.value = values[key]
		if epoch, ok := epochOf(values, key[:len(key)-len(name)]); ok {
			one.epoch = epoch
		}
		if run := w.run(prefix); run != nil {
			run.stepsCountRows = !ownSteps
			run.add(name, anySet, one)
		}
	}
}

// epochOf is the epoch that a row gives under a prefix or for all.
func epochOf(values map[string]float64, prefix string) (float64, bool) {
	for _, name := range [...]string{prefix + "epoch", "epoch", "Epoch", "train/epoch", "trainer/epoch"} {
		if epoch, ok := values[name]; ok {
			return epoch, true
		}
	}
	return 0, false
}

// config reads ConfigRecord.update = 1 for the number of classes.
func (w *wandbReader) config(record []byte) error {
	return wireFields(record, func(number protowire.Number, bytes []byte, _ uint64) error {
		if number != 1 {
			return nil
		}
		key, value, err := wandbItem(bytes)
		for _, known := range classNames {
			if key == known {
				w.classes = classCount(value)
			}
		}
		return err
	})
}

// parseJSONNumber reads the JSON of one number; NaN and Infinity as Python
// writes them, bare or in quotes.
func parseJSONNumber(text string) (float64, bool) {
	if len(text) > 64 {
		return 0, false
	}
	return numberOf(json.Token(json.Number(strings.Trim(text, `"`))))
}
