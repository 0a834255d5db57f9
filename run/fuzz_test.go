package run

import (
	"bytes"
	"testing"
)

// The readers of a run by themselves, in memory: FuzzOpen, which goes through the
// disk, is a thousand times slower. What is accepted must be written as it was read.

func FuzzEpoch(f *testing.F) {
	for n := 1; n <= 2; n++ {
		text, err := encode(sampleEpoch(n), "")
		check(f, err)
		f.Add(text)
	}
	f.Add([]byte(`{"epoch":1,"step":0,"learning_rate":1,"gradient_norm":null,"health":{"mixing":null,"loss_spread":0,"agreement":1e999,"layers":[]},"evaluations":[]}`))
	h := sampleHeader()
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := decodeEpoch(text)
		if err == nil {
			err = h.validateEpoch(&e, &Epoch{Epoch: e.Epoch - 1})
		}
		if err != nil {
			return
		}
		first, err := encode(e, "")
		check(t, err)
		again, err := decodeEpoch(first)
		check(t, err)
		unchanged(t, first, again)
	})
}

func FuzzFingerprint(f *testing.F) {
	text, err := sampleFingerprint().Encode()
	check(f, err)
	f.Add(text)
	f.Add([]byte(`{"format":1,"sets":{"train":[]}}`))
	h := sampleHeader()
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := decodeFingerprint(text)
		if err == nil {
			err = h.checkFingerprint(p)
		}
		if err != nil {
			return
		}
		first, err := encode(p, "")
		check(t, err)
		again, err := decodeFingerprint(first)
		check(t, err)
		unchanged(t, first, again)
	})
}

func FuzzProbes(f *testing.F) {
	text, err := encode(sampleProbes(), "  ")
	check(f, err)
	f.Add(text)
	f.Add([]byte(`{"format":1,"epoch":0,"results":[{"id":"a","values":{"b":"-Infinity","c":null}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := decodeProbes(text)
		if err == nil {
			err = p.check()
		}
		if err != nil {
			return
		}
		first, err := encode(p, "")
		check(t, err)
		again, err := decodeProbes(first)
		check(t, err)
		unchanged(t, first, again)
	})
}

// unchanged fails where what was read of a text is written differently.
func unchanged(t *testing.T, text []byte, read any) {
	t.Helper()
	again, err := encode(read, "")
	check(t, err)
	if !bytes.Equal(text, again) {
		t.Errorf("read\n%s, after writing\n%s", text, again)
	}
}
