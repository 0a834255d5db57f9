package phantom

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
)

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatalf("the default: %v", err)
	}
	if err := Default().Resized(2, 64).Validate(); err != nil {
		t.Fatalf("two dimensions: %v", err)
	}
	nan := math.NaN()
	for _, c := range []struct {
		change func(c *Config)
		want   string
	}{
		{func(c *Config) { c.Dims = 4 }, "4 dimensions are neither 2 nor 3"},
		{func(c *Config) { c.Dims = 2 }, "2 dimensions need 1 voxel along k, not 32"},
		{func(c *Config) { *c = c.Resized(3, 0) }, "0 voxels along i are not in 8..1024"},
		{func(c *Config) { c.Size[1] = 7 }, "7 voxels along j are not in 8..1024"},
		{func(c *Config) { c.Size = [3]int{1024, 1024, 1024} }, "voxels are more than"},
		{func(c *Config) { c.Spacing[2] = nan }, "spacing NaN mm"},
		{func(c *Config) { c.Spacing[2] = 0 }, "spacing 0 mm"},
		{func(c *Config) { c.Spacing[2] = 60 }, "spacing 60 mm is too coarse for a field of view of 192 mm"},
		{func(c *Config) { c.Signal = "colour" }, `signal "colour" is none of`},
		{func(c *Config) { c.Effect = -1 }, "effect -1 is not in 0..10"},
		{func(c *Config) { c.Effect = nan }, "effect NaN"},
		{func(c *Config) { c.Noise = 1.5 }, "noise 1.5"},
		{func(c *Config) { c.Bias = 1 }, "bias 1 is not in 0..0.9"},
		{func(c *Config) { c.LabelNoise = 0.6 }, "label noise 0.6 is not in 0..0.5"},
		{func(c *Config) { c.SiteShortcut = 2 }, "site shortcut 2"},
		{func(c *Config) { c.SiteShortcut = 0.5 }, "a site shortcut needs at least 2 sites, not 1"},
		{func(c *Config) { c.Prevalence = 0 }, "prevalence 0 is not between 0 and 1"},
		{func(c *Config) { c.Prevalence = nan }, "prevalence NaN"},
		{func(c *Config) { c.Sites = 0 }, "0 sites are not in 1..64"},
	} {
		config := Default()
		c.change(&config)
		err := config.Validate()
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want a line with %q", err, c.want)
		}
	}
}

// digest is the start of a hash of everything in a subject.
func digest(s Subject) string {
	hash := sha256.New()
	for _, part := range []any{[]byte(s.ID + s.Site), int64(s.Label), int64(s.TrueLabel), s.Latent,
		s.Volume.Data, s.Volume.Affine, s.Volume.Spacing, s.Mask.Data, s.Mask.Affine, s.Mask.Spacing} {
		if err := binary.Write(hash, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// The bits of a subject are part of the contract: they were recorded on amd64
// with Go 1.26 and hold on every CPU, also where the compiler may fuse products
// and sums (GOAMD64=v3, arm64).
func TestBitsOfASubject(t *testing.T) {
	anisotropic := Default()
	anisotropic.Size, anisotropic.Spacing = [3]int{30, 34, 14}, [3]float64{6, 6, 9.5}
	anisotropic.Signal, anisotropic.Seed = SignalTexture, 5
	sites := Default().Resized(3, 16)
	sites.Signal, sites.Sites, sites.SiteShortcut, sites.LabelNoise = SignalMargin, 3, 0.5, 0.2
	flat := Default().Resized(2, 48)
	flat.Signal = SignalNone
	for _, c := range []struct {
		name   string
		config Config
		k      int
		want   string
	}{
		{"default", Default(), 0, "6ae6550251eca2ee"},
		{"anisotropic", anisotropic, 7, "a4de76af4d15b447"},
		{"sites", sites, 12345, "083f042f2a45b52d"},
		{"flat", flat, 3, "53c5daa55b37346f"},
	} {
		if err := c.config.Validate(); err != nil {
			t.Fatal(err)
		}
		if got := digest(c.config.Subject(c.k)); got != c.want {
			t.Errorf("%s: subject %d hashes to %s, want %s", c.name, c.k, got, c.want)
		}
	}
}

func TestSubjectIsTheSameWhoeverAsks(t *testing.T) {
	c := Default().Resized(3, 12)
	c.Sites, c.LabelNoise = 3, 0.1
	const n = 24
	var together [n]Subject
	var wait sync.WaitGroup
	for k := range n {
		wait.Go(func() { together[k] = c.Subject(k) })
	}
	wait.Wait()
	for k := n - 1; k >= 0; k-- {
		if !reflect.DeepEqual(together[k], c.Subject(k)) {
			t.Errorf("subject %d differs between goroutines and order", k)
		}
	}
	if reflect.DeepEqual(together[0].Volume.Data, together[1].Volume.Data) {
		t.Error("subjects 0 and 1 have the same image")
	}
}

// Each setting changes what it names and nothing else.
func TestSettingsDoNotDisturbOneAnother(t *testing.T) {
	base := Default().Resized(3, 20)
	base.Sites = 2
	for _, c := range []struct {
		name    string
		change  func(c *Config)
		outside bool // may voxels far from the tumour change?
	}{
		{"effect", func(c *Config) { c.Effect = 5 }, false},
		{"signal", func(c *Config) { c.Signal = SignalTexture }, false},
		{"label noise", func(c *Config) { c.LabelNoise = 0.5 }, false},
		{"noise", func(c *Config) { c.Noise = 0.2 }, true},
		{"bias", func(c *Config) { c.Bias = 0.5 }, true},
	} {
		changed := base
		c.change(&changed)
		for k := range 10 {
			a, b := base.Subject(k), changed.Subject(k)
			if !reflect.DeepEqual(a.Mask, b.Mask) {
				t.Errorf("%s changes the mask of subject %d", c.name, k)
			}
			if a.TrueLabel != b.TrueLabel || a.Site != b.Site {
				t.Errorf("%s changes the true label or the site of subject %d", c.name, k)
			}
			g := base.grid()
			body := newTumour(g, newHead(g, base.stream("head", k)), 3, base.stream("tumour", k))
			changedVoxels := 0
			each(a.Volume, func(at [3]int, n int) {
				// Level 2 is beyond the widest border.
				far := body.level(g.coordinate(0, at[0]), g.coordinate(1, at[1]), g.coordinate(2, at[2]), 2) > 2
				if far && a.Volume.Data[n] != b.Volume.Data[n] {
					changedVoxels++
				}
			})
			if (changedVoxels > 0) != c.outside {
				t.Errorf("%s changes %d voxels of subject %d far from the tumour", c.name, changedVoxels, k)
			}
		}
	}
}

// Every subject has a tumour, and it lies within the skull.
func TestTumourLiesInTheSkull(t *testing.T) {
	for _, c := range []Config{Default().Resized(2, 8), Default().Resized(2, 40), Default().Resized(3, 8), Default().Resized(3, 16)} {
		for k := range 300 {
			s := c.Subject(k)
			g := c.grid()
			h := newHead(g, c.stream("head", k))
			voxels, outside := 0, 0
			each(s.Mask, func(at [3]int, n int) {
				if s.Mask.Data[n] == 0 {
					return
				}
				voxels++
				if norm(h.frame.apply(g.coordinate(0, at[0]), g.coordinate(1, at[1]), g.coordinate(2, at[2]))) > innerSkull {
					outside++
				}
			})
			if voxels < 3 || outside > 0 {
				t.Errorf("%v, subject %d: %d of %d voxels of the tumour outside the skull", c.Size, k, outside, voxels)
			}
		}
	}
}

func TestSubjectPanicsWithoutAValidConfig(t *testing.T) {
	for name, call := range map[string]func(){
		"zero config":    func() { Config{}.Subject(0) },
		"negative index": func() { Default().Subject(-1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}

func BenchmarkSubject(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"16", 16}, {"24", 24}, {"32", 32}, {"48", 48}} {
		b.Run(size.name, func(b *testing.B) {
			c := Default().Resized(3, size.n)
			for k := 0; b.Loop(); k++ {
				c.Subject(k)
			}
		})
	}
}
