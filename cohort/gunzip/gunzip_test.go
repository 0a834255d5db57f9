package gunzip

import (
	"bytes"
	"compress/gzip"
	"errors"
	"hash/crc32"
	"io"
	"math/rand"
	"slices"
	"testing"
	"testing/iotest"
)

// samples are data of many kinds: runs, text, noise, smooth 16-bit signals, and
// matches that cross the 32 KiB window and the reader's buffers.
func samples() map[string][]byte {
	random := rand.New(rand.NewSource(1))
	noise := make([]byte, 300_000)
	random.Read(noise)
	signal := make([]byte, 400_000)
	level := 500
	for n := 0; n < len(signal); n += 2 {
		level += random.Intn(41) - 20
		signal[n], signal[n+1] = byte(level), byte(level>>8)
	}
	skewed := make([]byte, 200_000) // codes of up to 15 bits
	for n := range skewed {
		for skewed[n] < 40 && random.Intn(2) == 0 {
			skewed[n]++
		}
	}
	far := append(append(bytes.Clone(noise[:32768]), noise[:32768]...), bytes.Repeat(noise[:1000], 300)...)
	periods := []byte{}
	for period := 1; period <= 40; period++ {
		periods = append(periods, noise[:period]...)
		periods = append(periods, bytes.Repeat(noise[:period], 20)...)
	}
	return map[string][]byte{
		"empty": nil, "one byte": {7}, "zeros": make([]byte, 500_000), "noise": noise, "signal": signal, "skewed": skewed,
		"far matches": far, "periods": periods, "text": bytes.Repeat([]byte("the quick brown fox "), 20_000),
	}
}

func compress(t testing.TB, data []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func decompress(compressed []byte) ([]byte, error) {
	r, err := NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// All levels of the standard library's compressor, which it can read itself,
// whether input comes in large pieces or byte by byte.
func TestAgreesWithTheStandardLibrary(t *testing.T) {
	for name, data := range samples() {
		for _, level := range []int{gzip.NoCompression, 1, 6, 9, gzip.HuffmanOnly} {
			compressed := compress(t, data, level)
			for kind, source := range map[string]io.Reader{
				"whole": bytes.NewReader(compressed), "bytes": iotest.OneByteReader(bytes.NewReader(compressed)),
				"halves": iotest.HalfReader(bytes.NewReader(compressed)), "early EOF": iotest.DataErrReader(bytes.NewReader(compressed)),
			} {
				r, err := NewReader(source)
				if err != nil {
					t.Fatalf("%s, level %d, %s: %v", name, level, kind, err)
				}
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s, level %d, %s: %d of %d bytes, %v", name, level, kind, len(got), len(data), err)
				}
			}
		}
	}
}

// Peek gives the same bytes as Read, in pieces of any size up to PeekSize, mixed
// with reads and over all places where the window moves.
func TestPeek(t *testing.T) {
	random := rand.New(rand.NewSource(2))
	for name, data := range samples() {
		r, err := NewReader(bytes.NewReader(compress(t, bytes.Repeat(data, 3), 6)))
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat(data, 3)
		for err == nil {
			var piece []byte
			n := []int{1, 2, 1000, 1 << 16, PeekSize, random.Intn(PeekSize)}[random.Intn(6)] + 1
			if piece, err = r.Peek(min(n, PeekSize)); err != nil && err != io.EOF {
				t.Fatalf("%s: %v", name, err)
			}
			used := random.Intn(len(piece) + 1)
			if err != nil {
				used = len(piece)
			}
			if !bytes.HasPrefix(want, piece) {
				t.Fatalf("%s: %d bytes before the end, other bytes came", name, len(want))
			}
			r.Advance(used)
			want = want[used:]
			small := make([]byte, random.Intn(100))
			if n, _ := r.Read(small); !bytes.HasPrefix(want, small[:n]) {
				t.Fatalf("%s: Read gives other bytes", name)
			} else {
				want = want[n:]
			}
		}
		if len(want) != 0 {
			t.Errorf("%s: the last %d bytes are missing", name, len(want))
		}
	}
}

func TestMembersAndHeaders(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Name, w.Comment, w.Extra = "name", "a comment", []byte("extra field")
	w.Write([]byte("first "))
	w.Close()
	first := bytes.Clone(b.Bytes())
	members := append(bytes.Clone(first), compress(t, []byte("second"), 6)...)
	for _, c := range []struct {
		name string
		text []byte
		want string
		kind error
	}{
		{"one member", first, "first ", nil},
		{"two members", members, "first second", nil},
		{"zeros behind", append(bytes.Clone(members), make([]byte, 1000)...), "first second", nil},
		{"noise behind", append(bytes.Clone(members), "this is no member"...), "first second", ErrHeader},
		{"nothing", nil, "", io.ErrUnexpectedEOF},
		{"half a header", first[:15], "", io.ErrUnexpectedEOF},
		{"other method", append([]byte{0x1f, 0x8b, 7}, first[3:]...), "", ErrHeader},
		{"reserved flag", append([]byte{0x1f, 0x8b, 8, 0x20}, first[4:]...), "", ErrHeader},
	} {
		got, err := decompress(c.text)
		if string(got) != c.want || !errors.Is(err, c.kind) {
			t.Errorf("%s: %q, %v; want %q, %v", c.name, got, err, c.want, c.kind)
		}
	}
}

// A header with its own checksum (FHCRC), which the standard library reads but
// never writes.
func TestHeaderChecksum(t *testing.T) {
	plain := compress(t, []byte("x"), 6)
	with := append([]byte{0x1f, 0x8b, 8, 2, 0, 0, 0, 0, 0, 255}, 0, 0)
	digest := headerChecksum(with[:10])
	with[10], with[11] = byte(digest), byte(digest>>8)
	with = append(with, plain[10:]...)
	if got, err := decompress(with); string(got) != "x" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if r, err := gzip.NewReader(bytes.NewReader(with)); err != nil {
		t.Errorf("the standard library refuses the test's header: %v %v", r, err)
	}
	with[10] ^= 1
	if _, err := decompress(with); !errors.Is(err, ErrHeader) {
		t.Errorf("wrong checksum: %v", err)
	}
}

// Every prefix of a file is truncated, and a wrong checksum or size is found.
func TestDamage(t *testing.T) {
	data := samples()["signal"][:3000]
	for _, level := range []int{gzip.NoCompression, 6, gzip.HuffmanOnly} {
		whole := compress(t, data, level)
		for n := range whole {
			got, err := decompress(whole[:n])
			if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasPrefix(data, got) {
				t.Fatalf("level %d, %d of %d bytes: %v", level, n, len(whole), err)
			}
		}
		for n := 1; n <= 8; n++ {
			changed := bytes.Clone(whole)
			changed[len(changed)-n] ^= 1
			if got, err := decompress(changed); !errors.Is(err, ErrChecksum) || !bytes.Equal(got, data) {
				t.Errorf("trailer byte %d: %v", n, err)
			}
		}
	}
	long := compress(t, samples()["noise"], 6)
	for n := 2*inputSize - 40; n < 2*inputSize+40; n++ { // where the reader fetches more
		if _, err := decompress(long[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %v", n, len(long), err)
		}
	}
	failing := errors.New("the disk is gone")
	r, err := NewReader(io.MultiReader(bytes.NewReader(compress(t, data, 6)[:100]), iotest.ErrReader(failing)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, failing) {
		t.Errorf("failing disk: %v", err)
	}
}

// Streams that make no sense (RFC 1951), as the first member of a file and behind
// another one; the standard library refuses them too.
func TestCorrupt(t *testing.T) {
	header := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}
	for name, body := range map[string][]byte{
		"block of kind 3":                      {0x07},
		"stored length":                        {0x01, 5, 0, 5, 0},
		"distance before the start":            {0x03, 0x02, 0x00}, // fixed codes: length 3, distance 1, end
		"symbol 286":                           {0x1b, 0x03},       // fixed codes: 11000110
		"287 codes of lengths":                 {0xf5, 0x01},
		"code sizes of an over-full code":      {0x05, 0xe0, 0x49, 0x92, 0x24, 0x49, 0x92, 0x24},
		"code sizes of a code with open codes": {0x05, 0x00, 0x24, 0x00},
	} {
		for _, before := range [][]byte{nil, compress(t, []byte("a member before it"), 6)} {
			text := slices.Concat(before, header, body, make([]byte, 40))
			if _, err := decompress(text); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %v, want %v", name, err, ErrCorrupt)
			}
			r, err := gzip.NewReader(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(r); err == nil {
				t.Errorf("%s: the standard library reads it", name)
			}
		}
	}
}

// Whatever the input, the result is that of the standard library: the same bytes,
// and an error when it has one.
func FuzzAgainstTheStandardLibrary(f *testing.F) {
	for _, data := range samples() {
		f.Add(compress(f, data[:min(len(data), 2000)], 6))
		f.Add(compress(f, data[:min(len(data), 200)], 9))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := decompress(text)
		var want []byte
		r, wantErr := gzip.NewReader(bytes.NewReader(text))
		if wantErr == nil {
			want, wantErr = io.ReadAll(r)
		}
		if errors.Is(err, ErrHeader) && reservedFlag(text) {
			return // RFC 1952 wants an error, as zlib gives it; the standard library reads on
		}
		if wantErr == nil && (err != nil || !bytes.Equal(got, want)) {
			t.Fatalf("%d bytes and %v, the standard library gives %d", len(got), err, len(want))
		}
		if wantErr != nil && err == nil && len(bytes.TrimRight(text, "\x00")) == len(text) {
			t.Fatalf("no error, but the standard library says %v", wantErr)
		}
	})
}

// reservedFlag finds a header with a flag that means nothing.
func reservedFlag(text []byte) bool {
	for ; len(text) > 3; text = text[1:] {
		if text[0] == 0x1f && text[1] == 0x8b && text[2] == 8 && text[3]&0xe0 != 0 {
			return true
		}
	}
	return false
}

func headerChecksum(header []byte) uint16 { return uint16(crc32.ChecksumIEEE(header)) }

// BenchmarkReader decompresses noise on a smooth 16-bit signal, as MRI is; the
// standard library does the same beside it.
func BenchmarkReader(b *testing.B) {
	data := samples()["signal"]
	compressed := compress(b, data, 6)
	for name, open := range map[string]func() (io.Reader, error){
		"this package":     func() (io.Reader, error) { return NewReader(bytes.NewReader(compressed)) },
		"standard library": func() (io.Reader, error) { return gzip.NewReader(bytes.NewReader(compressed)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				r, err := open()
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(data)) {
					b.Fatal(n, err)
				}
			}
		})
	}
}
