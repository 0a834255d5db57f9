package prep

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ballast/cohort"
)

// A Cache keeps prepared images in a folder, so that a second run on the same
// files with the same preprocessing need not read them. An entry is found by the
// content of the files and everything that decides the result, never by a name
// or a time; what comes out of the cache has the bits that were put in.
//
// Many goroutines and many processes may share the folder: an entry is written
// under a temporary name and renamed, and checked against its hash when it is
// read; a damaged one is removed and made again. When the entries outgrow the
// limit, those that were not used for the longest time go. A folder that cannot
// be written costs speed and no more. The format is docs/format/cache.md.
//
// A nil Cache prepares every image anew.
type Cache struct {
	dir   string
	limit int64

	digests sync.Map // of files that were hashed: identity -> *fileHash

	mu      sync.Mutex
	known   int64 // bytes of all entries when they were last counted, and written since
	counted bool
	added   int64 // bytes written since
	problem error // why the first entry could not be written

	hits, misses atomic.Int64
}

// pipelineVersion is part of every key. It rises when any step, or a reader of
// images, gives other bits than before.
const pipelineVersion = 1

// OpenCache returns the cache in a folder, which need not exist yet. Its entries
// together take at most limit bytes, give or take a tenth per process that writes.
func OpenCache(dir string, limit int64) *Cache { return &Cache{dir: dir, limit: limit} }

// Counts returns how often something was found in the cache and how often not.
func (c *Cache) Counts() (hits, misses int64) { return c.hits.Load(), c.misses.Load() }

// Problem returns why entries could not be written, nil when they could.
func (c *Cache) Problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.problem
}

// Images is LoadAll through the cache.
func (c *Cache) Images(image cohort.Image, config Config) ([]*Image, error) {
	config = config.complete()
	config.Margin = 0 // it decides the grid, and nothing beside it
	return cached(c, kindImages, image, config, func() ([]*Image, error) { return LoadAll(image, config) })
}

// measurement is what Measure tells of an image.
type measurement struct {
	Extent Extent
	Flat   bool
}

// Measure reads an image and returns its extent and whether it is 2D; through
// the cache.
func (c *Cache) Measure(image cohort.Image, config Config) (e Extent, flat bool, err error) {
	config = config.geometry()
	m, err := cached(c, kindExtent, image, config, func() (measurement, error) {
		v, mask, err := Read(image, config.Crop)
		if err != nil {
			return measurement{}, err
		}
		e, err := config.Measure(v, mask)
		if err != nil {
			return measurement{}, fmt.Errorf("measure %s: %w", image.Path, err)
		}
		m := measurement{e, thinAxis(v) >= 0}
		release(v, mask)
		return m, nil
	})
	return m.Extent, m.Flat, err
}

// Landmarks reads an image and returns the Landmarks of its sequences; through
// the cache.
func (c *Cache) Landmarks(image cohort.Image, config Config) ([][]float64, error) {
	config = config.complete()
	config = Config{Bias: config.Bias, Over: config.Over, Channels: config.Channels}
	return cached(c, kindLandmarks, image, config, func() ([][]float64, error) {
		volumes, _, err := readAll(image, config)
		if err != nil {
			return nil, err
		}
		own, err := Landmarks(volumes, config)
		if err != nil {
			return nil, fmt.Errorf("fit the histogram to %s: %w", image.Path, err)
		}
		release(volumes...)
		return own, nil
	})
}

// cached returns the entry of an image, else what produce makes of it, and stores that.
func cached[T any](c *Cache, what kind, image cohort.Image, config Config, produce func() (T, error)) (T, error) {
	if c == nil {
		return produce()
	}
	k, err := c.key(what, image, config)
	if err != nil { // a file that cannot be read: produce says why
		return produce()
	}
	var value T
	payload, err := readEntry(c.path(k), what, k)
	if err == nil {
		err = decodePayload(payload, &value)
	}
	if err == nil {
		c.hits.Add(1)
		now := time.Now()
		_ = os.Chtimes(c.path(k), now, now) // when it fails, the entry only looks older than it is
		return value, nil
	}
	if errors.Is(err, errDamaged) {
		_ = os.Remove(c.path(k)) // it is written anew below
	}
	c.misses.Add(1)
	if value, err = produce(); err != nil {
		return value, err
	}
	if err := c.write(what, k, encodePayload(value)); err != nil {
		c.mu.Lock()
		c.problem = cmp.Or(c.problem, err)
		c.mu.Unlock()
	}
	return value, nil
}

// A key names an entry: a SHA-256 hash.
type key [sha256.Size]byte

// key hashes everything that decides an entry.
func (c *Cache) key(what kind, image cohort.Image, config Config) (key, error) {
	settings, err := json.Marshal(config)
	if err != nil {
		return key{}, err
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "ballast cache %d, pipeline %d, %s\n%s\nvolume %d\n", entryFormat, pipelineVersion, what, settings, image.Volume)
	files := sequences(image)
	if config.NeedsMask() {
		files = append(files, image.Mask)
	}
	for _, path := range files {
		content, err := c.content(path)
		if err != nil {
			return key{}, err
		}
		fmt.Fprintf(hash, "%x\n", content)
	}
	return key(hash.Sum(nil)), nil
}

// path returns where an entry lies.
func (c *Cache) path(k key) string {
	name := hex.EncodeToString(k[:])
	return filepath.Join(c.dir, name[:2], name[2:]+entrySuffix)
}

// content hashes all that ReadVolume may read of a path: a file and, of a pair,
// the other one; the files of a folder with their names; behind a "#" the part
// that is asked for.
func (c *Cache) content(path string) (key, error) {
	info, err := os.Stat(path)
	part := ""
	if at := strings.LastIndexByte(path, '#'); err != nil && at > 0 {
		path, part = path[:at], path[at+1:]
		info, err = os.Stat(path)
	}
	if err != nil {
		return key{}, err
	}
	files := append([]string{path}, pairOf(path)...)
	if info.IsDir() {
		if files, err = plainFiles(path); err != nil {
			return key{}, err
		}
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%q\n", part)
	for n, file := range files {
		digest, err := c.digest(file)
		if err != nil {
			return key{}, err
		}
		name := ""
		if n > 0 || info.IsDir() {
			name = filepath.Base(file)
		}
		fmt.Fprintf(hash, "%q %x\n", name, digest)
	}
	return key(hash.Sum(nil)), nil
}

// pairOf lists the files that may belong to one half of a pair of header and
// voxels.
func pairOf(path string) (files []string) {
	lower := strings.ToLower(path)
	for _, ending := range []string{".hdr", ".hdr.gz", ".img", ".img.gz"} {
		if !strings.HasSuffix(lower, ending) {
			continue
		}
		stem := path[:len(path)-len(ending)]
		for _, other := range []string{".hdr", ".hdr.gz", ".img", ".img.gz"} {
			for _, name := range []string{stem + other, stem + strings.ToUpper(other)} {
				if _, err := os.Stat(name); err == nil && name != path {
					files = append(files, name)
				}
			}
		}
	}
	return files
}

func plainFiles(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder) // sorted by name
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		if entry.Type().IsRegular() {
			files = append(files, filepath.Join(folder, entry.Name()))
		}
	}
	return files, nil
}

// A fileHash is the hash of a file, computed once.
type fileHash struct {
	once  sync.Once
	value key
	err   error
}

// digest returns the SHA-256 of a file. It reads a file once as long as size and
// time of change stay.
func (c *Cache) digest(path string) (key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return key{}, err
	}
	if !info.Mode().IsRegular() {
		return key{}, fmt.Errorf("%s is not a plain file", path)
	}
	identity := fmt.Sprintf("%s\x00%d\x00%d", path, info.Size(), info.ModTime().UnixNano())
	stored, _ := c.digests.LoadOrStore(identity, new(fileHash))
	d := stored.(*fileHash)
	d.once.Do(func() {
		var file *os.File
		if file, d.err = os.Open(path); d.err != nil {
			return
		}
		defer file.Close()
		hash := sha256.New()
		_, d.err = io.Copy(hash, file)
		d.value = key(hash.Sum(nil))
	})
	return d.value, d.err
}

// write stores an entry and makes room for it.
func (c *Cache) write(what kind, k key, payload []byte) error {
	size := int64(len(payload) + headerSize)
	if size > c.limit {
		return nil
	}
	if err := writeEntry(c.path(k), what, k, payload); err != nil {
		return fmt.Errorf("write the cache: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known += size
	c.added += size
	if c.counted && c.known <= c.limit && c.added <= c.limit/10 {
		return nil
	}
	return c.evict()
}

// evict counts the entries and, when they are beyond the limit, removes the
// least recently used until a tenth of it is free.
func (c *Cache) evict() error {
	entries, err := c.entries()
	if err != nil {
		return err
	}
	c.known, c.added, c.counted = 0, 0, true
	for _, e := range entries {
		c.known += e.size
	}
	if c.known <= c.limit {
		return nil
	}
	slices.SortFunc(entries, func(a, b stored) int { return a.used.Compare(b.used) })
	for _, e := range entries {
		if c.known <= c.limit-c.limit/10 {
			break
		}
		if err := os.Remove(e.path); err == nil || errors.Is(err, os.ErrNotExist) {
			c.known -= e.size
		}
	}
	return nil
}

// stored is an entry on disk.
type stored struct {
	path string
	size int64
	used time.Time
}

// abandoned is the age of a temporary file whose writer must be dead.
const abandoned = time.Hour

// entries lists the entries on disk and removes abandoned temporary files. Other
// files are not touched.
func (c *Cache) entries() ([]stored, error) {
	paths, err := filepath.Glob(filepath.Join(escaped(c.dir), "[0-9a-f][0-9a-f]", "*"))
	if err != nil {
		return nil, fmt.Errorf("list the cache %s: %w", c.dir, err)
	}
	var list []stored
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue // another process removed it
		}
		name := filepath.Base(path)
		switch {
		case strings.HasSuffix(name, temporarySuffix) && time.Since(info.ModTime()) > abandoned:
			_ = os.Remove(path)
		case strings.HasSuffix(name, entrySuffix) && len(name) == 2*len(key{})-2+len(entrySuffix):
			list = append(list, stored{path, info.Size(), info.ModTime()})
		}
	}
	return list, nil
}

// escaped is a path in which Glob finds no pattern.
func escaped(path string) string {
	if os.PathSeparator == '\\' {
		return path // where a backslash separates, Glob knows no escapes
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// A CacheStatus is what lies in a cache.
type CacheStatus struct {
	Dir     string    `json:"folder"`
	Entries int       `json:"entries"`
	Bytes   int64     `json:"bytes"`
	Limit   int64     `json:"limit_bytes"`
	Oldest  time.Time `json:"oldest_use,omitzero"` // when the entry that would go first was last used
}

// Status counts the entries.
func (c *Cache) Status() (CacheStatus, error) {
	entries, err := c.entries()
	s := CacheStatus{Dir: c.dir, Entries: len(entries), Limit: c.limit}
	for _, e := range entries {
		s.Bytes += e.size
		if s.Oldest.IsZero() || e.used.Before(s.Oldest) {
			s.Oldest = e.used
		}
	}
	return s, err
}

// Clear removes all entries and returns their number and size.
func (c *Cache) Clear() (removed int, bytes int64, err error) {
	entries, err := c.entries()
	for _, e := range entries {
		if failure := os.Remove(e.path); failure != nil && !errors.Is(failure, os.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("clear the cache: %w", failure))
			continue
		}
		removed, bytes = removed+1, bytes+e.size
		_ = os.Remove(filepath.Dir(e.path)) // fails, as it should, unless the folder is empty
	}
	return removed, bytes, err
}
