package cohort

import (
	"archive/zip"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of an archive. A compressed array is read whole and kept for the images
// after it; a stored one is read where its image lies, whatever its size.
const (
	maxCompressed = 1 << 30          // bytes of a compressed array
	keepArrays    = 10 * time.Second // after its last use
	mostDeflated  = 1032             // bytes that one byte of deflate can stand for
)

// splitMember divides "file.npz#train_images/17" at its "#".
func splitMember(path string) (archive, member string, ok bool) {
	at := strings.LastIndex(strings.ToLower(path), ".npz#")
	if at < 0 {
		return "", "", false
	}
	return path[:at+len(".npz")], strings.ReplaceAll(path[at+len(".npz#"):], `\`, "/"), true
}

// openMember opens one image of an archive: "array/index", and "array/index/channel"
// for a colour of it.
func openMember(archive, member string) (imageFile, error) {
	parts := strings.Split(member, "/")
	index, channel := -1, -1
	var err error
	if len(parts) >= 2 {
		index, err = strconv.Atoi(parts[1])
	}
	if len(parts) == 3 && err == nil {
		channel, err = strconv.Atoi(parts[2])
	}
	if err != nil || index < 0 || len(parts) > 3 || len(parts) == 3 && channel < 0 {
		return nil, fmt.Errorf("%w: %q does not name an image of an archive; write it as file.npz#array/index", ErrFormat, "#"+member)
	}
	data, h, err := memberElement(archive, parts[0], index)
	if err != nil {
		return nil, err
	}
	return &arrayFile{h, data, channel}, nil
}

// memberElement reads one element of an array, from the archive or from what was
// kept of it.
func memberElement(archive, name string, index int) ([]byte, npyHeader, error) {
	info, err := os.Stat(archive)
	if err != nil {
		return nil, npyHeader{}, err
	}
	key := arrayKey{archive, info.Size(), info.ModTime(), name}
	content := keptContent(key)
	if content == nil {
		a, err := openNPZ(archive)
		if err != nil {
			return nil, npyHeader{}, err
		}
		defer a.Close()
		array, err := a.array(name)
		if err != nil {
			return nil, npyHeader{}, err
		}
		if array.file.Method == zip.Store && !array.header.fortran {
			return array.stored(index)
		}
		if content, err = keep(key, array); err != nil {
			return nil, npyHeader{}, fmt.Errorf("array %s: %w", name, err)
		}
	}
	data, h, err := content.element(index)
	if err != nil {
		return nil, h, fmt.Errorf("array %s: %w", name, err)
	}
	return data, h, nil
}

// An npzArchive is an opened zip file of NumPy arrays.
type npzArchive struct {
	bytes  io.ReaderAt
	reader *zip.Reader
	file   *os.File // to close; nil in tests
}

// openNPZ opens an archive. The caller closes it.
func openNPZ(path string) (*npzArchive, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is not a plain file", ErrArchive)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	a, err := newNPZ(file, info.Size())
	if err != nil {
		file.Close()
		return nil, err
	}
	a.file = file
	return a, nil
}

func newNPZ(bytes io.ReaderAt, size int64) (*npzArchive, error) {
	reader, err := zip.NewReader(bytes, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, withoutZip(err))
	}
	return &npzArchive{bytes: bytes, reader: reader}, nil
}

// withoutZip drops the prefix of package zip.
func withoutZip(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "zip: "))
}

func (a *npzArchive) Close() error { return a.file.Close() }

// names lists the arrays.
func (a *npzArchive) names() []string {
	var names []string
	for _, f := range a.reader.File {
		if name, ok := strings.CutSuffix(f.Name, ".npy"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// An npzArray is one array of an archive, of which the header has been read.
type npzArray struct {
	archive *npzArchive
	file    *zip.File
	header  npyHeader
}

// array finds an array and reads its header, which must agree with the bytes
// that the archive says it has.
func (a *npzArchive) array(name string) (*npzArray, error) {
	at := slices.IndexFunc(a.reader.File, func(f *zip.File) bool { return f.Name == name+".npy" })
	if at < 0 {
		return nil, fmt.Errorf("%w: it has no array %q (arrays: %s)", ErrArchive, name, some(a.names()))
	}
	array := &npzArray{archive: a, file: a.reader.File[at]}
	if f := array.file; f.UncompressedSize64 > mostDeflated*f.CompressedSize64+1024 {
		return nil, fmt.Errorf("%w: array %s claims %d bytes in %d", ErrArchive, name, f.UncompressedSize64, f.CompressedSize64)
	}
	content, err := array.file.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: array %s: %w", ErrArchive, name, withoutZip(err))
	}
	defer content.Close()
	if array.header, err = readNPYHeader(content); err != nil {
		return nil, fmt.Errorf("array %s: %w", name, err)
	}
	n, _ := array.header.elements()
	if want := uint64(n)*uint64(array.header.size) + uint64(array.header.length); want != array.file.UncompressedSize64 {
		return nil, fmt.Errorf("%w: array %s of shape %v and type %s has %d bytes, not %d",
			ErrArchive, name, array.header.shape, array.header.dtype(), array.file.UncompressedSize64, want)
	}
	return array, nil
}

// part is the header of one element of the array's first axis.
func (h npyHeader) part(index int) (part npyHeader, elements int, err error) {
	if len(h.shape) == 0 || index >= h.shape[0] {
		return h, 0, fmt.Errorf("%w: its shape %v has no element %d", ErrArchive, h.shape, index)
	}
	part = h
	part.shape = h.shape[1:]
	elements, _ = part.elements()
	if elements > maxVoxels {
		return h, 0, fmt.Errorf("%w: an image of shape %v", ErrUnsupported, part.shape)
	}
	return part, elements, nil
}

// stored reads an element of an uncompressed array in place.
func (a *npzArray) stored(index int) ([]byte, npyHeader, error) {
	part, n, err := a.header.part(index)
	if err != nil {
		return nil, part, fmt.Errorf("array %s: %w", strings.TrimSuffix(a.file.Name, ".npy"), err)
	}
	start, err := a.file.DataOffset()
	if err != nil {
		return nil, part, fmt.Errorf("%w: %w", ErrArchive, withoutZip(err))
	}
	data := make([]byte, n*part.size)
	if _, err := a.archive.bytes.ReadAt(data, start+int64(part.length)+int64(index)*int64(len(data))); err != nil {
		return nil, part, fmt.Errorf("%w: element %d: %w", ErrTruncated, index, err)
	}
	return data, part, nil
}

// An arrayContent is a compressed array that was read whole.
type arrayContent struct {
	header npyHeader
	data   []byte
}

// element returns one element of the first axis.
func (c *arrayContent) element(index int) ([]byte, npyHeader, error) {
	part, n, err := c.header.part(index)
	if err != nil {
		return nil, part, err
	}
	size := part.size
	if !part.fortran {
		return c.data[index*n*size:][: n*size : n*size], part, nil
	}
	// The first index runs fastest: collect every shape[0]-th element.
	data := make([]byte, 0, n*size)
	for at := index; at < n*c.header.shape[0]; at += c.header.shape[0] {
		data = append(data, c.data[at*size:][:size]...)
	}
	return data, part, nil
}

// An arrayKey tells the content of an array of a file.
type arrayKey struct {
	path     string
	size     int64
	modified time.Time
	name     string
}

// kept holds the compressed arrays that were read lately: the last one, and
// others as long as they make up less than maxCompressed bytes with it.
var kept = struct {
	sync.Mutex
	content map[arrayKey]*arrayContent
	order   []arrayKey
	timer   *time.Timer
}{content: map[arrayKey]*arrayContent{}}

// keptContent returns a kept array, nil when it is not there.
func keptContent(key arrayKey) *arrayContent {
	kept.Lock()
	defer kept.Unlock()
	content := kept.content[key]
	if content != nil {
		kept.timer.Reset(keepArrays)
	}
	return content
}

// keep reads a whole array. Images of one compressed array are read one after
// the other, so it is kept for some seconds; one array is read at a time.
func keep(key arrayKey, a *npzArray) (*arrayContent, error) {
	kept.Lock()
	defer kept.Unlock()
	if content := kept.content[key]; content != nil { // read while this one waited
		return content, nil
	}
	data, err := a.inflate()
	if err != nil {
		return nil, err
	}
	total := len(data)
	for n := len(kept.order) - 1; n >= 0; n-- {
		if total += len(kept.content[kept.order[n]].data); total > maxCompressed {
			delete(kept.content, kept.order[n])
			kept.order = slices.Delete(kept.order, n, n+1)
		}
	}
	kept.content[key] = &arrayContent{a.header, data}
	kept.order = append(kept.order, key)
	if kept.timer == nil {
		kept.timer = time.AfterFunc(keepArrays, forgetArrays)
	}
	kept.timer.Reset(keepArrays)
	return kept.content[key], nil
}

func forgetArrays() {
	kept.Lock()
	defer kept.Unlock()
	clear(kept.content)
	kept.order = nil
}

// inflate reads all elements. The size is bounded by array: what the archive
// claims is at most what its compressed bytes can hold.
func (a *npzArray) inflate() ([]byte, error) {
	size := a.file.UncompressedSize64 - uint64(a.header.length)
	if size > maxCompressed {
		return nil, fmt.Errorf("%w: %d bytes, more than %d MiB compressed; save the archive with numpy.savez instead of numpy.savez_compressed", ErrUnsupported, size, maxCompressed>>20)
	}
	content, err := a.file.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, withoutZip(err))
	}
	defer content.Close()
	if _, err := io.CopyN(io.Discard, content, int64(a.header.length)); err != nil {
		return nil, inflateError(err)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(content, data); err != nil {
		return nil, inflateError(err)
	}
	if _, err := content.Read(make([]byte, 1)); err != io.EOF { // the checksum is compared at the end
		return nil, inflateError(err)
	}
	return data, nil
}

func inflateError(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the array ends early", ErrTruncated)
	case errors.As(err, &corrupt):
		return fmt.Errorf("%w: damaged compression", ErrArchive)
	case err == nil:
		return fmt.Errorf("%w: the array goes on after its last element", ErrArchive)
	}
	return fmt.Errorf("%w: %w", ErrArchive, withoutZip(err))
}
