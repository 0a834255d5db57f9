package prep

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ballast/cohort"
	"ballast/stat"
)

// scanned writes a volume of noise to a file of its own.
func scanned(t testing.TB, dir string, number int) cohort.Image {
	t.Helper()
	s := stat.NewStream(21, "test", uint64(number))
	v := volume([3]int{12, 11, 10}, [3]float64{1, 1.5, 2}, func(i, j, k int) float32 { return float32(100 + 20*s.Normal()) })
	path := filepath.Join(dir, fmt.Sprintf("%02d.nii.gz", number))
	if err := cohort.WriteNIfTI(path, v, "float32"); err != nil {
		t.Fatal(err)
	}
	return cohort.Image{Path: path, Volume: -1}
}

var cacheConfig = Config{Dims: 3, Crop: "none", Grid: [3]int{8, 8, 8}, Spacing: [3]float64{2, 2, 2}, Normalise: "zscore"}

func mustImages(t *testing.T, c *Cache, image cohort.Image, config Config) []*Image {
	t.Helper()
	images, err := c.Images(image, config)
	if err != nil {
		t.Fatal(err)
	}
	return images
}

// entryFiles lists the entries of a cache folder.
func entryFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "??", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// What comes out of the cache has the bits that went in, in every kind of entry,
// also for another process (another Cache on the folder).
func TestCacheGivesTheSameBits(t *testing.T) {
	dir := t.TempDir()
	image := scanned(t, dir, 1)
	slicewise := cacheConfig
	slicewise.Dims, slicewise.Slice, slicewise.Grid[0] = 2, "all", 1
	two := cacheConfig
	two.Channels = 2
	pair := image
	pair.Also = []string{scanned(t, dir, 2).Path}
	for _, c := range []struct {
		name   string
		image  cohort.Image
		config Config
	}{{"one", image, cacheConfig}, {"slices", image, slicewise}, {"two sequences", pair, two}} {
		want := mustImages(t, nil, c.image, c.config)
		for n, cache := range []*Cache{OpenCache(filepath.Join(dir, "cache"), 1<<30), OpenCache(filepath.Join(dir, "cache"), 1<<30)} {
			if got := mustImages(t, cache, c.image, c.config); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: Cache %d gives other images", c.name, n)
			}
			if hits, misses := cache.Counts(); hits != int64(n) || misses != int64(1-n) {
				t.Errorf("%s: Cache %d: %d hits and %d misses", c.name, n, hits, misses)
			}
		}
	}
	cache := OpenCache(filepath.Join(dir, "cache"), 1<<30)
	for range 2 {
		e, flat, err := cache.Measure(image, cacheConfig)
		want, _, err2 := (*Cache)(nil).Measure(image, cacheConfig)
		if err := errors.Join(err, err2); err != nil || e != want || flat {
			t.Errorf("extent %+v, %v, want %+v, %v", e, flat, want, err)
		}
		own, err := cache.Landmarks(image, cacheConfig)
		direct, err2 := (*Cache)(nil).Landmarks(image, cacheConfig)
		if err := errors.Join(err, err2); err != nil || !reflect.DeepEqual(own, direct) {
			t.Errorf("landmarks %v, want %v, %v", own, direct, err)
		}
	}
	if hits, misses := cache.Counts(); hits != 2 || misses != 2 {
		t.Errorf("%d hits and %d misses", hits, misses)
	}
}

// A file with other content, another setting and another mask is another entry;
// the same content under another name, and another margin, are not.
func TestCacheKeys(t *testing.T) {
	dir := t.TempDir()
	cache := OpenCache(filepath.Join(dir, "cache"), 1<<30)
	image := scanned(t, dir, 1)
	mustImages(t, cache, image, cacheConfig)
	content, err := os.ReadFile(image.Path)
	if err != nil {
		t.Fatal(err)
	}
	renamed := cohort.Image{Path: filepath.Join(dir, "other.nii.gz"), Volume: -1}
	if err := os.WriteFile(renamed.Path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	expect := func(name string, image cohort.Image, change func(c *Config), hit bool) {
		t.Helper()
		config := cacheConfig
		config.Clip = nil
		change(&config)
		before, _ := cache.Counts()
		mustImages(t, cache, image, config)
		if after, _ := cache.Counts(); (after > before) != hit {
			t.Errorf("%s: found in the cache: %v", name, after > before)
		}
	}
	same := func(*Config) {}
	expect("again", image, same, true)
	expect("another name", renamed, same, true)
	expect("another margin", image, func(c *Config) { c.Margin = 7 }, true)
	expect("a default by name", image, func(c *Config) { c.Resample, c.Over = "linear", "foreground" }, true)
	expect("another file", scanned(t, dir, 2), same, false)
	expect("another spacing", image, func(c *Config) { c.Spacing[2] = 2.5 }, false)
	expect("another kernel", image, func(c *Config) { c.Resample = "cubic" }, false)
	expect("clipped", image, func(c *Config) { c.Clip = []float64{1, 99} }, false)
	fitted, err := Fit([][][]float64{{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}})
	if err != nil {
		t.Fatal(err)
	}
	expect("standardised", image, func(c *Config) { c.Standardise, c.Fitted = "nyul", fitted }, false)
	// The file is replaced under its name.
	time.Sleep(10 * time.Millisecond)
	other, err := os.ReadFile(scanned(t, dir, 3).Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image.Path, other, 0o644); err != nil {
		t.Fatal(err)
	}
	expect("other content under the name", image, same, false)
}

// An entry with any damage is made anew and repaired.
func TestCacheRepairsDamage(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "cache")
	image := scanned(t, dir, 1)
	want := mustImages(t, OpenCache(folder, 1<<30), image, cacheConfig)
	path := entryFiles(t, folder)[0]
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(at int) []byte {
		damaged := bytes.Clone(sound)
		damaged[at] ^= 0x10
		return damaged
	}
	for name, content := range map[string][]byte{
		"empty": {}, "half": sound[:len(sound)/2], "longer": append(bytes.Clone(sound), 0),
		"magic": flipped(0), "format": flipped(8), "kind": flipped(12), "key": flipped(20), "length": flipped(49), "hash": flipped(60), "payload": flipped(len(sound) - 5),
	} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		cache := OpenCache(folder, 1<<30)
		if got := mustImages(t, cache, image, cacheConfig); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: a damaged entry gives another image", name)
		}
		if hits, _ := cache.Counts(); hits != 0 {
			t.Errorf("%s: a damaged entry passes", name)
		}
		if repaired, err := os.ReadFile(path); err != nil || !bytes.Equal(repaired, sound) {
			t.Errorf("%s: the entry was not written anew (%v)", name, err)
		}
	}
}

// The least recently used entries go, and only they; files of others stay.
func TestCacheEvicts(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "cache")
	first := OpenCache(folder, 1<<30)
	var images []cohort.Image
	for n := range 10 {
		images = append(images, scanned(t, dir, n))
		mustImages(t, first, images[n], cacheConfig)
	}
	files := entryFiles(t, folder)
	info, err := os.Stat(files[0])
	if err != nil || len(files) != 10 {
		t.Fatalf("%d entries, %v", len(files), err)
	}
	old := time.Now().Add(-24 * time.Hour)
	for _, file := range files {
		if err := os.Chtimes(file, old, old); err != nil {
			t.Fatal(err)
		}
	}
	foreign := filepath.Join(filepath.Dir(files[0]), "thesis.txt")
	left := filepath.Join(filepath.Dir(files[0]), "123"+temporarySuffix)
	for _, name := range []string{foreign, left} {
		if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(left, old, old); err != nil {
		t.Fatal(err)
	}
	limited := OpenCache(folder, 6*info.Size())
	for _, image := range images[:3] { // these were used just now
		mustImages(t, limited, image, cacheConfig)
	}
	mustImages(t, limited, scanned(t, dir, 10), cacheConfig)
	status, err := limited.Status()
	if err != nil || status.Bytes > 6*info.Size() || status.Entries < 4 {
		t.Errorf("after eviction: %+v, %v", status, err)
	}
	for _, image := range images[:3] {
		mustImages(t, limited, image, cacheConfig)
	}
	if hits, _ := limited.Counts(); hits != 6 {
		t.Errorf("%d hits: an entry that was just used is gone", hits)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("the abandoned temporary file is still there")
	}
	removed, _, err := limited.Clear()
	if err != nil || removed != status.Entries {
		t.Errorf("cleared %d of %d entries, %v", removed, status.Entries, err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("clearing removed a file that is no entry: %v", err)
	}
	tiny := OpenCache(filepath.Join(dir, "tiny"), 10)
	mustImages(t, tiny, images[0], cacheConfig)
	if len(entryFiles(t, filepath.Join(dir, "tiny"))) != 0 {
		t.Error("an entry beyond the limit was kept")
	}
}

// Many writers of the same entries at once, on a limit that makes them evict one
// another's, always get the right image.
func TestCacheIsShared(t *testing.T) {
	dir := t.TempDir()
	var images []cohort.Image
	var want []string
	for n := range 6 {
		images = append(images, scanned(t, dir, n))
		want = append(want, digest(mustImages(t, nil, images[n], cacheConfig)[0]))
	}
	var workers sync.WaitGroup
	for worker := range 8 {
		cache := OpenCache(filepath.Join(dir, "cache"), 9000) // room for four
		workers.Go(func() {
			for n := range 60 {
				at := (n*7 + worker) % len(images)
				got, err := cache.Images(images[at], cacheConfig)
				if err != nil || digest(got[0]) != want[at] {
					t.Errorf("image %d: %v", at, err)
				}
			}
			if err := cache.Problem(); err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
}

// Processes that write and evict the same entries at once get the right images.
func TestCacheIsSharedByProcesses(t *testing.T) {
	if dir := os.Getenv("BALLAST_TEST_CACHE"); dir != "" { // one of the processes below
		cache := OpenCache(filepath.Join(dir, "cache"), 9000)
		for n := range 60 {
			fmt.Println(n%6, digest(mustImages(t, cache, cohort.Image{Path: filepath.Join(dir, fmt.Sprintf("%02d.nii.gz", n%6)), Volume: -1}, cacheConfig)[0]))
		}
		return
	}
	dir := t.TempDir()
	want := map[string]bool{}
	for n := range 6 {
		want[fmt.Sprint(n, " ", digest(mustImages(t, nil, scanned(t, dir, n), cacheConfig)[0]))] = true
	}
	var processes sync.WaitGroup
	for range 3 {
		processes.Go(func() {
			process := exec.Command(os.Args[0], "-test.run", "^TestCacheIsSharedByProcesses$")
			process.Env = append(os.Environ(), "BALLAST_TEST_CACHE="+dir)
			output, err := process.CombinedOutput()
			right := 0
			for line := range strings.Lines(string(output)) {
				if want[strings.TrimSpace(line)] {
					right++
				}
			}
			if err != nil || right != 60 {
				t.Errorf("%d of 60 images are right, %v:\n%s", right, err, output)
			}
		})
	}
	processes.Wait()
}

// A folder that cannot be written costs speed and no more; a broken image fails
// with its own words.
func TestCacheThatCannotWrite(t *testing.T) {
	dir := t.TempDir()
	image := scanned(t, dir, 1)
	occupied := filepath.Join(dir, "file")
	if err := os.WriteFile(occupied, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cache := OpenCache(filepath.Join(occupied, "cache"), 1<<30)
	want := mustImages(t, nil, image, cacheConfig)
	if got := mustImages(t, cache, image, cacheConfig); !reflect.DeepEqual(got, want) {
		t.Error("another image")
	}
	mustImages(t, cache, scanned(t, dir, 2), cacheConfig)
	if err := cache.Problem(); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("the problem is told as %q, want one line", err)
	}
	missing := cohort.Image{Path: filepath.Join(dir, "missing.nii"), Volume: -1}
	_, err := cache.Images(missing, cacheConfig)
	_, direct := LoadAll(missing, cacheConfig)
	if err == nil || direct == nil || err.Error() != direct.Error() {
		t.Errorf("missing file: %v, without a cache %v", err, direct)
	}
}

// A pair and a folder are told apart by all that is read of them.
func TestCacheContent(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var keys []key
	content := func(path string) {
		t.Helper()
		k, err := OpenCache(dir, 0).content(path)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(keys, k) {
			t.Errorf("%s has a content that was seen before", path)
		}
		keys = append(keys, k)
	}
	header := write("a.hdr", "header")
	content(header)
	write("a.img", "voxels")
	content(header)
	write("a.img", "other!")
	content(header)
	content(filepath.Join(dir, "a.img"))
	write("a.hdr", "HEADER")
	content(filepath.Join(dir, "a.img"))
	write("dicom/1", "one")
	content(filepath.Join(dir, "dicom"))
	write("dicom/2", "two")
	content(filepath.Join(dir, "dicom"))
	content(filepath.Join(dir, "dicom#4"))
	content(filepath.Join(dir, "dicom#5"))
	content(filepath.Join(dir, "dicom", "1"))
}

// FuzzEntry reads arbitrary bytes as an entry and as each payload.
func FuzzEntry(f *testing.F) {
	image := &Image{C: 2, D: 1, H: 2, W: 2, Data: make([]float32, 8), Backgrounds: []float32{1, 2}, Background: 1}
	for _, value := range []any{[]*Image{image, image}, measurement{}, [][]float64{{1, 2}, {}}} {
		f.Add(encodePayload(value))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if _, err := parseEntry(payload, kindImages, key{}); err != nil && !errors.Is(err, errDamaged) {
			t.Error(err)
		}
		var images []*Image
		if decodePayload(payload, &images) == nil {
			if !bytes.Equal(encodePayload(images), payload) {
				t.Errorf("%x is read as %+v", payload, images)
			}
		}
		var rows [][]float64
		if decodePayload(payload, &rows) == nil && !bytes.Equal(encodePayload(rows), payload) {
			t.Errorf("%x is read as %v", payload, rows)
		}
		var m measurement
		_ = decodePayload(payload, &m)
	})
}

// An entry is laid out as docs/format/cache.md says, byte by byte.
func TestEntryLayout(t *testing.T) {
	dir := t.TempDir()
	image := scanned(t, dir, 1)
	config := Config{Dims: 3, Crop: "none", Grid: [3]int{1, 1, 2}, Spacing: [3]float64{2, 2, 2}, Normalise: "none"}
	cache := OpenCache(filepath.Join(dir, "cache"), 1<<30)
	want := mustImages(t, cache, image, config)[0]
	files := entryFiles(t, filepath.Join(dir, "cache"))
	if len(files) != 1 {
		t.Fatalf("entries %v", files)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(filepath.Dir(files[0])) + strings.TrimSuffix(filepath.Base(files[0]), ".prep")
	payload := data[88:]
	sum := sha256.Sum256(payload)
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(data[at:]) }
	for _, c := range []struct {
		what string
		ok   bool
	}{
		{"magic", string(data[:8]) == "BALLASTC"},
		{"format", u32(8) == 1},
		{"kind", u32(12) == 1},
		{"key", hex.EncodeToString(data[16:48]) == name},
		{"length", binary.LittleEndian.Uint64(data[48:]) == uint64(len(payload)) && len(payload) == 4+5*4+4+2*4},
		{"hash", bytes.Equal(data[56:88], sum[:])},
		{"one image", u32(88) == 1},
		{"shape", u32(92) == 1 && u32(96) == 1 && u32(100) == 1 && u32(104) == 2},
		{"not finite", u32(108) == 0},
		{"background", u32(112) == math.Float32bits(want.Background)},
		{"voxels", u32(116) == math.Float32bits(want.Data[0]) && u32(120) == math.Float32bits(want.Data[1])},
	} {
		if !c.ok {
			t.Errorf("%s is not as documented: % x", c.what, data)
		}
	}
}
