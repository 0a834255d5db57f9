package run

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// record frames data as an event file does.
func record(data []byte) []byte {
	var header [12]byte
	binary.LittleEndian.PutUint64(header[:8], uint64(len(data)))
	binary.LittleEndian.PutUint32(header[8:], maskedCRC(header[:8]))
	framed := append(header[:], data...)
	return binary.LittleEndian.AppendUint32(framed, maskedCRC(data))
}

// event is a record of one scalar in simple_value.
func event(tag string, step int64, value float32) []byte {
	var v, e []byte
	v = protowire.AppendTag(v, 1, protowire.BytesType)
	v = protowire.AppendString(v, tag)
	v = protowire.AppendTag(v, 2, protowire.Fixed32Type)
	v = protowire.AppendFixed32(v, math.Float32bits(value))
	return record(eventOf(e, step, v))
}

func eventOf(e []byte, step int64, value []byte) []byte {
	var summary []byte
	summary = protowire.AppendTag(summary, 1, protowire.BytesType)
	summary = protowire.AppendBytes(summary, value)
	e = protowire.AppendTag(e, 2, protowire.VarintType)
	e = protowire.AppendVarint(e, uint64(step))
	e = protowire.AppendTag(e, 5, protowire.BytesType)
	return protowire.AppendBytes(e, summary)
}

// The masked checksum of the first record that TensorBoard 2.21 wrote, taken
// from the file itself: length 24 and its checksum.
func TestMaskedCRC(t *testing.T) {
	paths, _ := filepath.Glob("testdata/logs/torch-epochs/events*")
	text, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	for records := 0; len(text) > 0; records++ {
		length := binary.LittleEndian.Uint64(text)
		if maskedCRC(text[:8]) != binary.LittleEndian.Uint32(text[8:]) ||
			maskedCRC(text[12:12+length]) != binary.LittleEndian.Uint32(text[12+length:]) {
			t.Fatalf("checksum of record %d differs", records)
		}
		text = text[16+length:]
	}
	// RFC 3720, B.4: the CRC-32C of 32 zero bytes is 0x8a9136aa.
	sum := uint32(0x8a9136aa)
	if got, want := maskedCRC(make([]byte, 32)), bits.RotateLeft32(sum, 17)+0xa282ead8; got != want {
		t.Errorf("%x, want %x", got, want)
	}
}

func openEvents(t *testing.T, files ...[]byte) []*Curves {
	t.Helper()
	folder := t.TempDir()
	for i, file := range files {
		writeFile(t, filepath.Join(folder, "events.out.tfevents.100"+string(rune('0'+i))+".host"), string(file))
	}
	all, err := OpenLog(folder)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func losses(c *Curves) (values []float64) {
	for _, p := range c.Points {
		values = append(values, float64(p.ValidationLoss))
	}
	return values
}

func equalValues(a []float64, b ...float64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func events(tag string, from int64, values ...float32) (file []byte) {
	for i, v := range values {
		file = append(file, event(tag, from+int64(i), v)...)
	}
	return file
}

// A file cut at every byte gives the records that are whole and says that the
// last one is not.
func TestCutEvents(t *testing.T) {
	file := events("val_loss", 1, 4, 3, 2, 1)
	size := len(file) / 4
	for cut := 2 * size; cut < len(file); cut++ {
		c := openEvents(t, file[:cut])[0]
		if got := losses(c); len(got) != cut/size {
			t.Fatalf("%d of %d bytes: %v", cut, len(file), got)
		}
		if said := strings.Contains(strings.Join(c.Notes, " "), "cut short"); said != (cut%size != 0) {
			t.Fatalf("%d of %d bytes: notes %q", cut, len(file), c.Notes)
		}
	}
}

// One flipped bit loses one record, or, in a length, the rest of the file; it
// never changes a value.
func TestDamagedEvents(t *testing.T) {
	whole := events("val_loss", 1, 5, 4, 3, 2, 1)
	size := len(whole) / 5
	for at := 2 * size; at < 3*size; at++ {
		file := bytes.Clone(whole)
		file[at] ^= 0x10
		c := openEvents(t, file)[0]
		got, notes := losses(c), strings.Join(c.Notes, " ")
		switch {
		case at < 2*size+12:
			if !equalValues(got, 5, 4) || !strings.Contains(notes, "damaged at byte") {
				t.Errorf("byte %d of the header: %v, %q", at-2*size, got, notes)
			}
		case !equalValues(got, 5, 4, 2, 1) || !strings.Contains(notes, "1 damaged records"):
			t.Errorf("byte %d of the record: %v, %q", at-2*size, got, notes)
		}
	}
}

func TestSeveralEventFiles(t *testing.T) {
	continued := openEvents(t, events("val_loss", 1, 5, 4), events("val_loss", 3, 3, 2))
	if len(continued) != 1 || !equalValues(losses(continued[0]), 5, 4, 3, 2) {
		t.Errorf("continued: %v", losses(continued[0]))
	}
	resumed := openEvents(t, events("val_loss", 1, 5, 4, 3, 2.5), events("val_loss", 3, 3.5, 2))
	if len(resumed) != 1 || !equalValues(losses(resumed[0]), 5, 4, 3.5, 2) || !strings.Contains(strings.Join(resumed[0].Notes, " "), "resumed from a checkpoint") {
		t.Errorf("resumed: %v, %q", losses(resumed[0]), resumed[0].Notes)
	}
	again := openEvents(t, events("val_loss", 1, 5, 4, 3), events("val_loss", 1, 6, 5, 4))
	if len(again) != 2 || !equalValues(losses(again[0]), 5, 4, 3) || !equalValues(losses(again[1]), 6, 5, 4) {
		t.Errorf("begun again: %d runs", len(again))
	}
}

// The final epoch logged twice, as Ultralytics does, counts once; hp_metric is
// a placeholder.
func TestRepeatedLastEvent(t *testing.T) {
	file := append(events("metrics/accuracy_top1", 1, 0.5, 0.6, 0.7), event("metrics/accuracy_top1", 3, 0.7)...)
	file = append(file, events("val/loss", 1, 1, 2, 3)...)
	file = append(file, append(event("val/loss", 3, 3), event("hp_metric", 0, -1)...)...)
	file = append(file, events("train/loss", 1, 1, 2, 3)...)
	c := openEvents(t, file)[0]
	if len(c.Points) != 3 || c.Points[2].ValidationAccuracy != Float(float32(0.7)) || !strings.Contains(strings.Join(c.Notes, " "), "more than once") {
		t.Errorf("%+v, %q", c.Points, c.Notes)
	}
}

// Every type that TensorFlow writes a scalar in.
func TestParseTensor(t *testing.T) {
	tensor := func(kind uint64, field protowire.Number, wire protowire.Type, value []byte) []byte {
		b := protowire.AppendTag(nil, 1, protowire.VarintType)
		b = protowire.AppendVarint(b, kind)
		b = protowire.AppendTag(b, field, wire)
		return append(b, value...)
	}
	content := func(b ...byte) []byte { return protowire.AppendBytes(nil, b) }
	float := binary.LittleEndian.AppendUint32(nil, math.Float32bits(0.5))
	double := binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.5))
	for name, test := range map[string]struct {
		message []byte
		want    float64
		scalar  bool
	}{
		"float content":     {tensor(typeFloat, 4, protowire.BytesType, content(float...)), 0.5, true},
		"double content":    {tensor(typeDouble, 4, protowire.BytesType, content(double...)), 0.5, true},
		"half content":      {tensor(typeHalf, 4, protowire.BytesType, content(0x00, 0x38)), 0.5, true},
		"bfloat16 content":  {tensor(typeBfloat16, 4, protowire.BytesType, content(0x00, 0x3f)), 0.5, true},
		"int64 content":     {tensor(typeInt64, 4, protowire.BytesType, content(7, 0, 0, 0, 0, 0, 0, 0)), 7, true},
		"int32 content":     {tensor(typeInt32, 4, protowire.BytesType, content(0xff, 0xff, 0xff, 0xff)), -1, true},
		"float_val":         {tensor(typeFloat, 5, protowire.Fixed32Type, float), 0.5, true},
		"float_val, packed": {tensor(typeFloat, 5, protowire.BytesType, content(float...)), 0.5, true},
		"double_val":        {tensor(typeDouble, 6, protowire.Fixed64Type, double), 0.5, true},
		"half_val":          {tensor(typeHalf, 13, protowire.VarintType, protowire.AppendVarint(nil, 0x3800)), 0.5, true},
		"half_val, packed":  {tensor(typeHalf, 13, protowire.BytesType, protowire.AppendBytes(nil, protowire.AppendVarint(nil, 0xb800))), -0.5, true},
		"two floats":        {tensor(typeFloat, 4, protowire.BytesType, content(append(float, float...)...)), 0, false},
		"two packed floats": {tensor(typeFloat, 5, protowire.BytesType, content(append(float, float...)...)), 0, false},
		"text":              {tensor(7, 8, protowire.BytesType, content('h', 'i')), 0, false},
		"cut":               {tensor(typeFloat, 4, protowire.BytesType, content(float...))[:5], 0, false},
	} {
		got, scalar := parseTensor(test.message)
		if scalar != test.scalar || scalar && got != test.want {
			t.Errorf("%s: %v, %v", name, got, scalar)
		}
	}
}

// Values of IEEE 754-2008 binary16.
func TestHalf(t *testing.T) {
	for bits, want := range map[uint16]float64{0x3c00: 1, 0x3555: 0.333251953125, 0x7bff: 65504, 0x0400: 6.103515625e-05, 0x0001: 5.960464477539063e-08, 0x8000: 0, 0x7c00: math.Inf(1), 0xfc00: math.Inf(-1)} {
		if got := halfOf(bits); got != want {
			t.Errorf("%#04x is %v, want %v", bits, got, want)
		}
	}
	if !math.IsNaN(halfOf(0x7e00)) {
		t.Error("0x7e00 is no nan")
	}
}

// A record of 17 MiB, an image for instance, is passed over; a length beyond
// the end of the file allocates nothing.
func TestLargeEvents(t *testing.T) {
	file := append(event("val_loss", 1, 2), record(make([]byte, largestRecord+1))...)
	file = append(file, event("val_loss", 2, 1)...)
	if got := losses(openEvents(t, file)[0]); !equalValues(got, 2, 1) {
		t.Errorf("%v", got)
	}
	var header [12]byte
	binary.LittleEndian.PutUint64(header[:8], largestRecord)
	binary.LittleEndian.PutUint32(header[8:], maskedCRC(header[:8]))
	allocated := testing.AllocsPerRun(1, func() {
		if _, err := readEvents(bytes.NewReader(header[:]), func(scalar) {}); err != nil {
			t.Error(err)
		}
	})
	if allocated > 50 {
		t.Errorf("%v allocations", allocated)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add(events("val_loss", 0, 3, 2, 1))
	paths, _ := filepath.Glob("testdata/logs/*/*/events*")
	for _, path := range paths {
		if text, err := os.ReadFile(path); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, err := readEvents(bytes.NewReader(file), func(scalar) {}); err != nil {
			t.Errorf("bytes in memory cannot fail to be read: %v", err)
		}
		// Past the checksums.
		_ = parseEvent(file, func(scalar) {})
		if len(file) > 12 {
			_, _ = parseTensor(file)
		}
		framed := eventReader{}
		_ = parseEvent(file, func(s scalar) { framed.add(eventFile{}, s) })
		checkRuns(t, framed.runs)
	})
}

// checkRuns turns fuzzed runs into curves and holds what every reader promises.
func checkRuns(t *testing.T, runs []*loggedRun) {
	t.Helper()
	for _, one := range runs {
		c := one.curves("fuzz", "fuzz")
		c.HasValidation()
		for i, p := range c.Points {
			if p.Epoch < 1 || i > 0 && p.Epoch <= c.Points[i-1].Epoch || p.Step < 0 {
				t.Fatalf("epoch %d, step %d at point %d", p.Epoch, p.Step, i)
			}
			for _, x := range [2]Float{p.TrainAccuracy, p.ValidationAccuracy} {
				if x > 1.0002 && x == x && float64(x) < math.Inf(1) {
					t.Fatalf("a share of %v", x)
				}
			}
		}
		if c.Validation < 0 || c.Classes < 0 {
			t.Fatalf("%d subjects, %d classes", c.Validation, c.Classes)
		}
	}
}
