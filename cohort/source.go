package cohort

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"ballast/cohort/gunzip"
)

// What is read at most. The limits bound time and memory for hostile files and
// lie far above what scanners and their users write.
const (
	maxVoxels    = 1 << 29 // of one volume: 2 GiB as float32
	maxFileBytes = 1 << 36 // of all volumes of a file, decompressed
	maxOffset    = 1 << 28 // of the first voxel: header and extensions
	maxShrink    = 1032    // Deflate makes data at most so many times smaller
)

// A byteSource is the content of an opened file, decompressed when it is gzip.
type byteSource struct {
	plain      *bufio.Reader  // of the file, nil when it is compressed
	zipped     *gunzip.Reader // nil when it is not
	file       *os.File       // nil in tests
	size       int64          // of the file as it lies on the disk
	compressed bool
}

// peekSize is the largest number of bytes that Peek can return.
const peekSize = 1 << 16

// Read fills p with the next bytes.
func (s *byteSource) Read(p []byte) (int, error) {
	if s.compressed {
		return s.zipped.Read(p)
	}
	return s.plain.Read(p)
}

// Peek returns the next n bytes, at most peekSize, without advancing: fewer with
// the reason. They are valid until the next call and must not be changed.
func (s *byteSource) Peek(n int) ([]byte, error) {
	if s.compressed {
		return s.zipped.Peek(n)
	}
	return s.plain.Peek(n)
}

// advance skips n bytes that Peek has returned.
func (s *byteSource) advance(n int) {
	if s.compressed {
		s.zipped.Advance(n)
		return
	}
	s.plain.Discard(n)
}

// openSource opens a plain file.
func openSource(path string) (*byteSource, error) {
	info, err := os.Stat(path) // before opening, which would wait for the writer of a pipe
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%w: it is a folder", ErrFormat)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is not a plain file", ErrFormat)
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("%w: the file is empty", ErrTruncated)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	source, err := newSource(file, info.Size())
	if err != nil {
		file.Close()
		return nil, err
	}
	source.file = file
	return source, nil
}

// newSource reads a file of the given size.
func newSource(file io.Reader, size int64) (*byteSource, error) {
	buffered := bufio.NewReaderSize(file, peekSize)
	start, _ := buffered.Peek(2)
	if len(start) < 2 || start[0] != 0x1f || start[1] != 0x8b {
		return &byteSource{plain: buffered, size: size}, nil
	}
	r, err := gunzip.NewReader(buffered)
	switch {
	case errors.Is(err, gunzip.ErrHeader):
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: the gzip header goes on after the file's %d bytes", ErrTruncated, size)
	case err != nil:
		return nil, err
	}
	return &byteSource{zipped: r, size: size, compressed: true}, nil
}

func (s *byteSource) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// limit is the largest number of bytes that can come.
func (s *byteSource) limit() int64 {
	if s.compressed {
		return min(maxShrink*s.size, maxFileBytes)
	}
	return s.size
}

// mustHold refuses a file that is too small for the bytes that its header
// announces, before any memory is taken for them.
func (s *byteSource) mustHold(bytes int64) error {
	if s.limit() >= bytes {
		return nil
	}
	if s.compressed {
		return fmt.Errorf("%w: so small a gzip file cannot hold the %d bytes that its header announces", ErrTruncated, bytes)
	}
	return fmt.Errorf("%w: %d of %d bytes", ErrTruncated, s.size, bytes)
}

// trailer is the size of the content that the last four bytes of a gzip file
// state, modulo 2^32: a hint that is worth as much as the file.
func (s *byteSource) trailer() (size uint32, ok bool) {
	var last [4]byte
	if !s.compressed || s.file == nil || s.size < 18 {
		return 0, false
	}
	if _, err := s.file.ReadAt(last[:], s.size-4); err != nil {
		return 0, false
	}
	return binary.LittleEndian.Uint32(last[:]), true
}

// skip reads over the given number of bytes.
func (s *byteSource) skip(bytes int64) (skipped int64, err error) {
	if !s.compressed && s.file != nil && bytes > int64(s.plain.Buffered()) {
		rest := bytes - int64(s.plain.Buffered())
		if _, err := s.file.Seek(rest, io.SeekCurrent); err != nil {
			return 0, err
		}
		s.plain.Reset(s.file)
		return bytes, nil
	}
	return io.CopyN(io.Discard, s, bytes)
}

// finish reads up to 64 KiB behind the last voxel, so that gzip compares its
// checksum when nothing else follows.
func (s *byteSource) finish() error {
	if !s.compressed {
		return nil
	}
	if _, err := io.CopyN(io.Discard, s, 1<<16); err != nil && err != io.EOF {
		return fmt.Errorf("%w: behind the voxels: %w", ErrTruncated, err)
	}
	return nil
}

func truncation(err error, have, want int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %d of %d bytes", ErrTruncated, have, want)
	}
	return fmt.Errorf("%w: after %d of %d bytes: %w", ErrTruncated, have, want, err)
}
