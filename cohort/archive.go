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
	a, err := openNPZ(archive)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	array, err := a.array(parts[0])
	if err != nil {
		return nil, err
	}
	data, h, err := array.element(index)
	if err != nil {
		return nil, fmt.Errorf("array %s: %w", parts[0], err)
	}
	return &arrayFile{h, data, channel}, nil
}

// An npzArchive is an opened zip file of NumPy arrays.
type npzArchive struct {
	file   *os.File
	info   os.FileInfo
	reader *zip.Reader
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
	reader, err := zip.NewReader(file, info.Size())
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%w: %w", ErrArchive, withoutZip(err))
	}
	return &npzArchive{file, info, reader}, nil
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

// element returns the part of the array with the given first index, and the
// header of that part.
func (a *npzArray) element(index int) ([]byte, npyHeader, error) {
	h := a.header
	if len(h.shape) == 0 || index >= h.shape[0] {
		return nil, h, fmt.Errorf("%w: its shape %v has no element %d", ErrArchive, h.shape, index)
	}
	part := h
	part.shape = h.shape[1:]
	n, _ := part.elements()
	if n > maxVoxels {
		return nil, h, fmt.Errorf("%w: an image of shape %v", ErrUnsupported, part.shape)
	}
	bytes := n * h.size
	if a.file.Method == zip.Store && !h.fortran {
		start, err := a.file.DataOffset()
		if err != nil {
			return nil, h, fmt.Errorf("%w: %w", ErrArchive, withoutZip(err))
		}
		data := make([]byte, bytes)
		if _, err := a.archive.file.ReadAt(data, start+int64(h.length)+int64(index)*int64(bytes)); err != nil {
			return nil, h, fmt.Errorf("%w: element %d: %w", ErrTruncated, index, err)
		}
		return data, part, nil
	}
	all, err := a.all()
	if err != nil {
		return nil, h, err
	}
	if !h.fortran {
		return all[index*bytes:][:bytes:bytes], part, nil
	}
	// The first index runs fastest: collect every shape[0]-th element.
	data := make([]byte, 0, bytes)
	for at := index; at < n*h.shape[0]; at += h.shape[0] {
		data = append(data, all[at*h.size:][:h.size]...)
	}
	return data, part, nil
}

// A keptArray is the content of a compressed array, for a while.
type keptArray struct {
	path     string
	size     int64
	modified time.Time
	name     string
}

// kept holds the arrays that were read lately, at most maxCompressed bytes
// besides the last one. One of them is read at a time.
var kept = struct {
	sync.Mutex
	data  map[keptArray][]byte
	order []keptArray
	timer *time.Timer
}{data: map[keptArray][]byte{}}

// all returns all elements of the array. Images of one compressed array are
// read one after the other, so it is kept for some seconds.
func (a *npzArray) all() ([]byte, error) {
	key := keptArray{realPath(a.archive.file.Name()), a.archive.info.Size(), a.archive.info.ModTime(), a.file.Name}
	kept.Lock()
	defer kept.Unlock()
	if kept.timer != nil {
		kept.timer.Stop()
	}
	kept.timer = time.AfterFunc(keepArrays, func() {
		kept.Lock()
		defer kept.Unlock()
		clear(kept.data)
		kept.order = nil
	})
	if data, ok := kept.data[key]; ok {
		return data, nil
	}
	data, err := a.inflate()
	if err != nil {
		return nil, err
	}
	total := len(data)
	for n := len(kept.order) - 1; n >= 0; n-- {
		if total += len(kept.data[kept.order[n]]); total > maxCompressed {
			delete(kept.data, kept.order[n])
			kept.order = slices.Delete(kept.order, n, n+1)
		}
	}
	kept.data[key] = data
	kept.order = append(kept.order, key)
	return data, nil
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
