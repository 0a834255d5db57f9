package cohort

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ballast/cohort/dicom"
)

// A dicomSeries is the images of one DICOM series: a file, or the files of a
// folder that share a SeriesInstanceUID, with their slices in order.
type dicomSeries struct {
	files []*dicomFile
	dicomStack

	// What was used last: the frames of a file follow each other, and so do the
	// tiles of a mosaic.
	opened *dicomFile
	parsed *dicom.File
	frame  int
	pixels []int32 // of the frame, nil before it is decoded
}

// A dicomFile is one file of a series. The bytes of a folder's files are read
// again when their pixels are needed, so that memory stays bounded.
type dicomFile struct {
	path   string
	header *dicom.File
	mosaic *dicom.Mosaic
	digest uint64 // of the pixel data
	err    error  // why the pixels cannot be read
}

// isDICOM tells a DICOM file by its first 132 bytes.
func isDICOM(start []byte) bool { return dicom.IsDICOM(start) }

// IsDICOMFolder reports whether a path is a folder, or a "folder#series", that
// directly holds a DICOM file. It looks at the first bytes of at most 16 files.
func IsDICOMFolder(path string) bool {
	folder, _ := splitSeries(path)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return false
	}
	looked := 0
	for _, entry := range entries {
		if !isCandidate(entry) {
			continue
		}
		if startsAsDICOM(filepath.Join(folder, entry.Name())) {
			return true
		}
		if looked++; looked == 16 {
			return false
		}
	}
	return false
}

// startsAsDICOM looks at a file's first bytes, gzip-compressed or not.
func startsAsDICOM(path string) bool {
	source, err := openSource(path)
	if err != nil {
		return false
	}
	defer source.Close()
	start, _ := source.Peek(132)
	return isDICOM(start)
}

// splitSeries divides "folder#series"; a folder whose own name has a # is taken
// as it is.
func splitSeries(path string) (folder, series string) {
	if _, err := os.Stat(path); err == nil {
		return path, ""
	}
	at := strings.LastIndex(path, "#")
	if at < 0 {
		return path, ""
	}
	return path[:at], path[at+1:]
}

// openDICOM reads the headers of a file, or of the chosen series of a folder, and
// puts the slices in order.
func openDICOM(path string) (*dicomSeries, error) {
	folder, chosen := splitSeries(path)
	info, err := os.Stat(folder)
	if err != nil {
		return nil, err
	}
	s := &dicomSeries{}
	if info.IsDir() {
		err = s.openFolder(folder, chosen)
	} else {
		err = s.openFile(folder)
	}
	if err != nil {
		return nil, err
	}
	if syntax := s.undecodable(); syntax != "" {
		return nil, fmt.Errorf("%w: compressed as %s, which ballast does not decode; decompress the files first, with gdcmconv --raw or dcmdjpeg", ErrUnsupported, dicom.SyntaxName(syntax))
	}
	found := s.notes
	if s.dicomStack, err = newDICOMStack(s.files); err != nil {
		return nil, err
	}
	s.notes = append(found, s.notes...)
	s.noteHeader()
	return s, nil
}

// undecodable returns the first transfer syntax whose pixels cannot be decoded.
func (s *dicomSeries) undecodable() string {
	for _, file := range s.files {
		if !dicom.CanDecode(file.header.TransferSyntax) {
			return file.header.TransferSyntax
		}
	}
	return ""
}

func (s *dicomSeries) openFile(path string) error {
	file, err := parseDICOM(path)
	if err != nil {
		return err
	}
	if file.err != nil {
		return file.err
	}
	if !file.header.HasPixels {
		return fmt.Errorf("%w: a DICOM file without pictures (%s)", ErrFormat, modality(file.header))
	}
	s.files, s.opened, s.parsed = []*dicomFile{file}, file, file.header
	return nil
}

func modality(header *dicom.File) string {
	if header.Modality == "" {
		return "modality not stated"
	}
	return "modality " + header.Modality
}

// parseDICOM reads one file. The error is for bytes that are not DICOM at all or
// have no attributes to go by; pixels that cannot be read are in dicomFile.err.
func parseDICOM(path string) (*dicomFile, error) {
	source, err := openSource(path)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	data, err := source.all()
	if err != nil {
		return nil, err
	}
	header, err := dicom.Parse(data)
	if header == nil {
		return nil, dicomError(err)
	}
	file := &dicomFile{path: path, header: header, err: dicomError(err), digest: header.Digest()}
	if err == nil && header.HasPixels {
		file.mosaic, err = header.Mosaic()
		file.err = dicomError(err)
	}
	return file, nil
}

// The largest DICOM files that are read as they are, and out of gzip.
const (
	maxDICOMBytes   = 1<<31 - 1
	maxDecompressed = 1 << 29
)

// all reads the whole content. Memory grows with the bytes that come.
func (s *byteSource) all() ([]byte, error) {
	if !s.compressed && s.size > maxDICOMBytes {
		return nil, fmt.Errorf("%w: a DICOM file of %d bytes; the limit is 2 GiB", ErrUnsupported, s.size)
	}
	if !s.compressed {
		data := make([]byte, s.size)
		if n, err := io.ReadFull(s, data); err != nil {
			return nil, truncation(err, int64(n), s.size)
		}
		return data, nil
	}
	data, err := io.ReadAll(io.LimitReader(s, maxDecompressed+1))
	switch {
	case len(data) > maxDecompressed:
		return nil, fmt.Errorf("%w: more than %d MiB when decompressed", ErrUnsupported, maxDecompressed>>20)
	case err != nil:
		return nil, fmt.Errorf("%w: the compressed file ends early or is damaged: %w", ErrTruncated, err)
	}
	return data, nil
}

// A kindError is an error of package dicom that also is one of this package's.
type kindError struct {
	error
	kind error
}

func (e kindError) Unwrap() []error { return []error{e.error, e.kind} }

func dicomError(err error) error {
	for _, pair := range [][2]error{
		{dicom.ErrFormat, ErrFormat}, {dicom.ErrDamaged, ErrHeader},
		{dicom.ErrTruncated, ErrTruncated}, {dicom.ErrUnsupported, ErrUnsupported},
	} {
		if errors.Is(err, pair[0]) {
			return kindError{err, pair[1]}
		}
	}
	return err
}

// read reads one volume.
func (s *dicomSeries) read(index int) (*Volume, error) {
	index, err := chooseVolume(s.what, len(s.volumes), index)
	if err != nil {
		return nil, err
	}
	v := &Volume{Shape: s.shape, Affine: s.affine, Spacing: spacingOf(s.affine)}
	for _, slice := range s.volumes[index] {
		stored, err := s.stored(slice)
		if err != nil {
			return nil, err
		}
		if v.Data == nil { // now that a slice has come, the others may be expected
			v.Data = make([]float32, 0, s.shape[0]*s.shape[1]*s.shape[2])
		}
		slope, intercept := slice.slope, slice.intercept
		for _, x := range stored {
			v.Data = append(v.Data, float32(float64(float64(x)*slope)+intercept))
		}
	}
	v.replaceNonFinite()
	return v, nil
}

// stored decodes the pixels of one slice.
func (s *dicomSeries) stored(slice dicomSlice) ([]int32, error) {
	if err := s.reopen(slice.file); err != nil {
		return nil, inFile(slice.file.path, err)
	}
	if s.pixels == nil || s.frame != slice.frame {
		pixels, err := s.parsed.Stored(slice.frame)
		if err != nil {
			if err = dicomError(err); len(s.files) > 1 {
				err = inFile(slice.file.path, err)
			}
			return nil, err
		}
		s.pixels, s.frame = pixels, slice.frame
	}
	if slice.file.mosaic != nil {
		return slice.file.mosaic.Tile(s.pixels, slice.tile), nil
	}
	return s.pixels, nil
}

// reopen reads a file of a folder again, for its pixels.
func (s *dicomSeries) reopen(file *dicomFile) error {
	if s.opened == file {
		return nil
	}
	again, err := parseDICOM(file.path)
	if err == nil {
		err = again.err
	}
	if err == nil && again.digest != file.digest {
		err = errors.New("the file changed while it was read")
	}
	if err != nil {
		return err
	}
	s.opened, s.parsed, s.pixels = file, again.header, nil
	return nil
}

// inFile names a file of a folder.
func inFile(path string, err error) error {
	return fmt.Errorf("%s: %w", filepath.Base(path), err)
}

// Close does nothing: no file stays open.
func (s *dicomSeries) Close() error { return nil }
