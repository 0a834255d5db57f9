package run

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// TensorBoard event files: records of
//
//	uint64 length | uint32 masked CRC-32C of the length | data | uint32 masked CRC-32C of the data
//
// little-endian, the data a tensorflow.Event (tensorflow/core/util/event.proto,
// framework/summary.proto, framework/tensor.proto). Scalars stand in
// simple_value (PyTorch, Lightning, tensorboardX) or in a tensor with one
// element (TensorFlow 2, Keras); everything else is passed over.

const (
	// largestRecord is what is read of a record; graphs, images and embeddings
	// may be larger and are passed over.
	largestRecord = 16 << 20
	recordHeader  = 12
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is the checksum of TFRecord files.
func maskedCRC(data []byte) uint32 {
	sum := crc32.Checksum(data, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// isEvents recognises the checksum of the first record's length.
func isEvents(head []byte) bool {
	return len(head) >= recordHeader && maskedCRC(head[:8]) == binary.LittleEndian.Uint32(head[8:])
}

// A scalar is one logged value of an event file.
type scalar struct {
	tag   string
	step  int64
	time  float64
	value float64
}

// readEvents gives every scalar of an event file to yield. What cannot be read is
// reported in the returned notes: a damaged record is left out, and a file that
// ends within a record, as that of a running or killed training does, ends there.
func readEvents(r io.Reader, yield func(scalar)) (notes []string, err error) {
	reader := bufio.NewReaderSize(r, 64<<10)
	var header [recordHeader]byte
	var data []byte
	damaged, offset := 0, int64(0)
	defer func() {
		if damaged > 0 {
			notes = append(notes, fmt.Sprintf("%d damaged records (checksum) are left out", damaged))
		}
	}()
	for {
		n, err := io.ReadFull(reader, header[:])
		switch {
		case err == io.EOF:
			return notes, nil
		case err == io.ErrUnexpectedEOF:
			return append(notes, endsWithin(offset, int64(n))), nil
		case err != nil:
			return notes, err
		}
		length := binary.LittleEndian.Uint64(header[:8])
		if maskedCRC(header[:8]) != binary.LittleEndian.Uint32(header[8:]) || length > math.MaxInt64-64 {
			return append(notes, fmt.Sprintf("damaged at byte %d: the rest of the file cannot be read", offset)), nil
		}
		whole := int64(length) + 4
		if length > largestRecord {
			n, err := io.CopyN(io.Discard, reader, whole)
			if err == io.EOF {
				return append(notes, endsWithin(offset, recordHeader+n)), nil
			} else if err != nil {
				return notes, err
			}
		} else {
			if data, err = readGrowing(reader, data[:0], int(whole)); err == io.ErrUnexpectedEOF {
				return append(notes, endsWithin(offset, recordHeader+int64(len(data)))), nil
			} else if err != nil {
				return notes, err
			}
			if maskedCRC(data[:length]) != binary.LittleEndian.Uint32(data[length:]) || parseEvent(data[:length], yield) != nil {
				damaged++
			}
		}
		offset += recordHeader + whole
	}
}

func endsWithin(offset, there int64) string {
	return fmt.Sprintf("the last record, at byte %d, is cut short after %d bytes: the training was killed or still writes", offset, there)
}

// readGrowing reads length bytes into data; it allocates as bytes arrive, not as
// a damaged length demands.
func readGrowing(r io.Reader, data []byte, length int) ([]byte, error) {
	const step = 64 << 10
	for len(data) < length {
		from := len(data)
		data = slices.Grow(data, min(step, length-from))[:min(from+step, length)]
		n, err := io.ReadFull(r, data[from:])
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return data[:from+n], err
		}
	}
	return data, nil
}

var errWire = errors.New("malformed protocol buffer")

// fields gives every field of a protocol-buffer message to yield; bytes holds
// the contents of a length-delimited field, bits the value of any other.
func wireFields(message []byte, yield func(number protowire.Number, bytes []byte, bits uint64) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errWire
		}
		message = message[n:]
		var bytes []byte
		var bits uint64
		switch kind {
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			bits, n = protowire.ConsumeVarint(message)
		case protowire.Fixed32Type:
			var short uint32
			short, n = protowire.ConsumeFixed32(message)
			bits = uint64(short)
		case protowire.Fixed64Type:
			bits, n = protowire.ConsumeFixed64(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return errWire
		}
		message = message[n:]
		if err := yield(number, bytes, bits); err != nil {
			return err
		}
	}
	return nil
}

// parseEvent reads tensorflow.Event: wall_time = 1, step = 2, summary = 5.
func parseEvent(message []byte, yield func(scalar)) error {
	var one scalar
	var summaries [][]byte
	err := wireFields(message, func(number protowire.Number, bytes []byte, bits uint64) error {
		switch number {
		case 1:
			one.time = math.Float64frombits(bits)
		case 2:
			one.step = int64(bits)
		case 5:
			summaries = append(summaries, bytes)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, summary := range summaries {
		if err := parseSummary(summary, one, yield); err != nil {
			return err
		}
	}
	return nil
}

// parseSummary reads Summary.value = 1: tag = 1, simple_value = 2, tensor = 8,
// metadata = 9.
func parseSummary(summary []byte, one scalar, yield func(scalar)) error {
	return wireFields(summary, func(number protowire.Number, value []byte, _ uint64) error {
		if number != 1 {
			return nil
		}
		known, plugin := false, ""
		err := wireFields(value, func(number protowire.Number, bytes []byte, bits uint64) error {
			switch number {
			case 1:
				one.tag = string(bytes)
			case 2:
				one.value, known = float64(math.Float32frombits(uint32(bits))), true
			case 8:
				x, isScalar := parseTensor(bytes)
				if isScalar {
					one.value, known = x, true
				}
			case 9:
				plugin = pluginName(bytes)
			}
			return nil
		})
		if err == nil && known && (plugin == "" || plugin == "scalars") && len(one.tag) <= nameLimit {
			yield(one)
		}
		return err
	})
}

// pluginName reads SummaryMetadata.plugin_data = 1: plugin_name = 1.
func pluginName(metadata []byte) (name string) {
	_ = wireFields(metadata, func(number protowire.Number, data []byte, _ uint64) error {
		if number != 1 {
			return nil
		}
		return wireFields(data, func(number protowire.Number, bytes []byte, _ uint64) error {
			if number == 1 {
				name = string(bytes)
			}
			return nil
		})
	})
	return name
}

// The types of tensorflow.DataType that a scalar may have.
const (
	typeFloat    = 1
	typeDouble   = 2
	typeInt32    = 3
	typeInt64    = 9
	typeBfloat16 = 14
	typeHalf     = 19
)

// parseTensor reads a TensorProto of one element: dtype = 1, tensor_content = 4
// or a value of its own type.
func parseTensor(tensor []byte) (value float64, isScalar bool) {
	kind, count := uint64(0), 0
	var content []byte
	err := wireFields(tensor, func(number protowire.Number, bytes []byte, bits uint64) error {
		switch number {
		case 1:
			kind = bits
		case 4:
			content = bytes
		case 5, 6, 7, 10, 13: // float_val, double_val, int_val, int64_val, half_val: packed or one by one
			var n int
			value, n = elementOf(int(number), bytes, bits)
			count += n
		}
		return nil
	})
	if err != nil {
		return 0, false
	}
	if content != nil {
		return contentOf(kind, content)
	}
	if count == 1 && kind == typeHalf {
		return halfOf(uint16(value)), true
	}
	if count == 1 && kind == typeBfloat16 {
		return bfloatOf(uint16(value)), true
	}
	return value, count == 1
}

// elementOf reads the value of a typed field of TensorProto and counts elements.
func elementOf(field int, packed []byte, bits uint64) (float64, int) {
	size := map[int]int{5: 4, 6: 8}[field]
	switch {
	case packed == nil && field == 5:
		return float64(math.Float32frombits(uint32(bits))), 1
	case packed == nil && field == 6:
		return math.Float64frombits(bits), 1
	case packed == nil:
		return float64(int64(bits)), 1
	case size > 0 && len(packed) != size:
		return 0, len(packed) / size
	case field == 5:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(packed))), 1
	case field == 6:
		return math.Float64frombits(binary.LittleEndian.Uint64(packed)), 1
	}
	x, n := protowire.ConsumeVarint(packed)
	if n != len(packed) {
		return 0, 2
	}
	return float64(int64(x)), 1
}

func contentOf(kind uint64, content []byte) (float64, bool) {
	switch {
	case kind == typeFloat && len(content) == 4:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(content))), true
	case kind == typeDouble && len(content) == 8:
		return math.Float64frombits(binary.LittleEndian.Uint64(content)), true
	case kind == typeInt32 && len(content) == 4:
		return float64(int32(binary.LittleEndian.Uint32(content))), true
	case kind == typeInt64 && len(content) == 8:
		return float64(int64(binary.LittleEndian.Uint64(content))), true
	case kind == typeHalf && len(content) == 2:
		return halfOf(binary.LittleEndian.Uint16(content)), true
	case kind == typeBfloat16 && len(content) == 2:
		return bfloatOf(binary.LittleEndian.Uint16(content)), true
	}
	return 0, false
}

func bfloatOf(bits uint16) float64 { return float64(math.Float32frombits(uint32(bits) << 16)) }

// halfOf is the value of an IEEE 754 binary16.
func halfOf(bits uint16) float64 {
	exponent, fraction := int(bits>>10&31), float64(bits&1023)
	value := 0.0
	switch exponent {
	case 0:
		value = math.Ldexp(fraction, -24)
	case 31:
		value = math.Inf(1)
		if fraction != 0 {
			return math.NaN()
		}
	default:
		value = math.Ldexp(1024+fraction, exponent-25)
	}
	if bits>>15 == 1 {
		value = -value
	}
	return value
}

// eventRun names the run of an event file: its folder, or the folder above where
// Keras makes train/ and validation/ and add_scalars makes Loss_train/.
func eventRun(path string) string {
	folder := filepath.Dir(path)
	if set, _ := setOfFolder(filepath.Base(folder)); set != anySet {
		return filepath.Dir(folder)
	}
	return folder
}

// setOfFolder reads a set, and the tag that add_scalars put before it, from the
// name of a folder.
func setOfFolder(name string) (set loggedSet, tag string) {
	if set := setWords[strings.ToLower(name)]; set != anySet {
		return set, ""
	}
	if cut := strings.LastIndexByte(name, '_'); cut > 0 {
		if set := setWords[strings.ToLower(name[cut+1:])]; set != anySet && roleOf(name[:cut]).quantity != otherQuantity {
			return set, name[:cut]
		}
	}
	return anySet, ""
}

func readEventFolder(paths []string) ([]*loggedRun, string, error) {
	sort.Strings(paths)
	var files []eventFile
	for _, path := range paths {
		set, tag := setOfFolder(filepath.Base(filepath.Dir(path)))
		files = append(files, eventFile{name: filepath.Base(path), set: set, tag: tag,
			open: func() (io.ReadCloser, error) { return os.Open(path) }})
	}
	runs, err := readEventFiles(files)
	for _, one := range runs {
		one.classes = classesBeside(paths[0])
	}
	return runs, "tensorboard", err
}

// An eventFile is one event file of a run.
type eventFile struct {
	name string
	open func() (io.ReadCloser, error)
	set  loggedSet // by the name of its folder
	tag  string    // by the name of its folder, which add_scalars makes: "Loss" of "Loss_train"
}

// readEventFiles reads the event files of one run, in order of their names.
//
// Files of one folder continue each other. Where a later file goes back to the
// first step it is another run; where it goes back to a later step the training
// was resumed from a checkpoint, and what it logged again replaces what was
// logged before, as TensorBoard shows it.
func readEventFiles(files []eventFile) ([]*loggedRun, error) {
	e := eventReader{}
	for _, file := range files {
		if err := e.file(file); err != nil {
			return nil, err
		}
	}
	for _, one := range e.runs {
		one.forgetBatchTags()
	}
	return e.runs, nil
}

type eventReader struct {
	runs []*loggedRun
	at   map[string]int // the run that a tag of a set has reached
}

func (e *eventReader) file(file eventFile) error {
	r, err := file.open()
	if err != nil {
		return err
	}
	defer r.Close()
	notes, err := readEvents(r, func(one scalar) {
		if one.tag == "hp_metric" || one.step < 0 {
			return
		}
		e.add(file, one)
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", file.name, err)
	}
	if len(e.runs) == 0 {
		e.begin()
	}
	for _, text := range notes {
		e.runs[len(e.runs)-1].note("%s: %s", file.name, text)
	}
	return nil
}

func (e *eventReader) begin() *loggedRun {
	if len(e.runs) < mostRuns {
		next := newLoggedRun("")
		if len(e.runs) > 0 {
			next = e.runs[0].another("")
		}
		e.runs = append(e.runs, next)
	}
	return e.runs[len(e.runs)-1]
}

// add appends a scalar to the run that its tag has reached.
func (e *eventReader) add(file eventFile, one scalar) {
	name := one.tag
	if file.tag != "" && roleOf(name).quantity == otherQuantity {
		name = file.tag
	}
	key := string(rune('0'+file.set)) + name
	index := e.at[key]
	if e.at == nil {
		e.at = map[string]int{}
	}
	if len(e.runs) == 0 {
		e.begin()
	}
	if known := e.runs[index].find(name, file.set); known != nil && len(known.samples) > 0 {
		last := known.samples[len(known.samples)-1]
		switch {
		case one.step >= last.step:
		case one.step <= known.samples[0].step:
			if index++; index == len(e.runs) && e.begin() == e.runs[index-1] {
				return // too many runs
			}
			e.at[key] = index
		default:
			n := 0
			for n < len(known.samples) && known.samples[n].step < one.step {
				n++
			}
			known.samples = known.samples[:n]
			e.runs[index].note("the training was resumed from a checkpoint at step %d: what was logged after it before is left out", one.step)
		}
	}
	e.runs[index].add(name, file.set, sample{epoch: math.NaN(), step: one.step, time: one.time, value: one.value})
}

// find returns the series of a name.
func (l *loggedRun) find(name string, set loggedSet) *series {
	if set != anySet {
		name = string(rune('0'+set)) + name
	}
	return l.byName[name]
}

// forgetBatchTags drops what Keras logs on a grid of batches where it logs the
// same by epoch, and marks steps that count from 0.
func (l *loggedRun) forgetBatchTags() {
	epochs := false
	for _, one := range l.series {
		epochs = epochs || strings.HasPrefix(one.name, "epoch_")
		l.stepsFrom0 = l.stepsFrom0 || one.role.quantity == epochQuantity
	}
	if !epochs {
		return
	}
	l.series = slices.DeleteFunc(l.series, func(one *series) bool {
		return strings.HasPrefix(one.name, "evaluation_") || strings.HasPrefix(one.name, "batch_")
	})
}

// current is the last run, begun if there is none.
func (e *eventReader) current() *loggedRun {
	if len(e.runs) == 0 {
		return e.begin()
	}
	return e.runs[len(e.runs)-1]
}
