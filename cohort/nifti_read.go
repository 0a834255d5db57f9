package cohort

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// A niftiFile is an opened file whose header has been checked. The next byte of
// source is at position.
type niftiFile struct {
	*niftiHeader
	source   *byteSource // of the voxels
	position int64
	header   *byteSource // of a .hdr file, nil when the voxels are in the same file

	whole           []int // shape as the header gives it
	shape           [3]int
	voxels, volumes int // voxels of one volume
	kind            datatype
	place           [3][4]float64 // the affine, in mm
	scale, shift    float64       // slope and intercept in effect
	start           int64         // where the voxels start

	extensions []extension
	problem    string // why the list of extensions ends early, if it does
}

// An extension is a piece of text or of foreign header between header and
// voxels. Its content is not read.
type extension struct {
	code int // who defined it: 2 DICOM, 4 AFNI, 6 comment, 44 MRS, ...
	size int // in bytes, with the eight bytes of size and code
}

// openNIfTI reads the header and checks all that can be checked without the
// voxels.
func openNIfTI(source *byteSource, path string) (*niftiFile, error) {
	raw, err := readHeader(source)
	if err != nil {
		return nil, err
	}
	h, err := parseNIfTIHeader(raw)
	if err != nil {
		return nil, err
	}
	f := &niftiFile{niftiHeader: h, source: source, position: int64(len(raw))}
	if err := f.check(); err != nil {
		return nil, err
	}
	if err := f.readExtensions(); err != nil {
		return nil, err
	}
	if !h.single {
		voxels, err := openVoxels(path)
		if err != nil {
			return nil, err
		}
		f.header, f.source, f.position = source, voxels, 0
	}
	return f, nil
}

func (f *niftiFile) check() (err error) {
	if f.whole, f.shape, f.voxels, f.volumes, err = f.sizes(); err != nil {
		return err
	}
	if f.kind, err = datatypeOf(f.datatype); err != nil {
		return err
	}
	if f.scale, f.shift, err = f.scaling(); err != nil {
		return err
	}
	if f.place, err = f.affine(f.shape); err != nil {
		return err
	}
	f.start, err = f.dataOffset()
	return err
}

// Close closes both files of a pair.
func (f *niftiFile) Close() error {
	err := f.source.Close()
	if f.header != nil {
		err = errors.Join(err, f.header.Close())
	}
	return err
}

// openVoxels opens the .img (or .img.gz) beside a .hdr file.
func openVoxels(path string) (*byteSource, error) {
	stem := withoutSuffix(withoutSuffix(path, ".gz"), ".hdr")
	if other := otherHalf(path, stem, ".img"); other != "" {
		return openSource(other)
	}
	return nil, fmt.Errorf("%w: the voxels should be in %s.img, which is not there", ErrUnsupported, stem)
}

// headerBeside returns the .hdr file of a pair whose .img file was named, and
// any other path as it is.
func headerBeside(path string) string {
	plain := withoutSuffix(path, ".gz")
	stem := withoutSuffix(plain, ".img")
	if stem == plain {
		return path
	}
	if other := otherHalf(path, stem, ".hdr"); other != "" {
		return other
	}
	return path
}

// otherHalf returns the file that has another suffix than path, compressed like it
// when there is a choice; empty when there is none.
func otherHalf(path, stem, suffix string) string {
	suffixes := []string{suffix, suffix + ".gz", strings.ToUpper(suffix)}
	if withoutSuffix(path, ".gz") != path {
		suffixes[0], suffixes[1] = suffixes[1], suffixes[0]
	}
	for _, s := range suffixes {
		if _, err := os.Stat(stem + s); err == nil {
			return stem + s
		}
	}
	return ""
}

func withoutSuffix(name, suffix string) string {
	if strings.HasSuffix(strings.ToLower(name), suffix) {
		return name[:len(name)-len(suffix)]
	}
	return name
}

// readExtensions lists the extensions between the header and the voxels (in a
// .hdr file: its end). Their content is skipped. A list that makes no sense ends
// there, because the voxels do not depend on it.
func (f *niftiFile) readExtensions() error {
	end := int64(maxOffset)
	if f.single {
		end = f.start
	}
	var flag [4]byte
	n, err := io.ReadFull(f.source, flag[:])
	f.position += int64(n)
	if err != nil && f.single {
		return truncation(err, f.position, f.end())
	}
	if err != nil || flag[0] == 0 {
		return nil
	}
	for f.position+8 <= end {
		var head [8]byte
		n, err := io.ReadFull(f.source, head[:])
		f.position += int64(n)
		if err != nil && !f.single && n == 0 {
			return nil // the end of the .hdr file
		}
		size, code := int64(f.order.Uint32(head[:])), int(f.order.Uint32(head[4:]))
		if err != nil || size < 16 || size%16 != 0 || f.position-8+size > end {
			f.problem = fmt.Sprintf("extension %d claims %d bytes", len(f.extensions)+1, size)
			return nil
		}
		skipped, err := f.source.skip(size - 8)
		f.position += skipped
		if err != nil {
			return truncation(err, f.position, f.end())
		}
		f.extensions = append(f.extensions, extension{code, int(size)})
	}
	return nil
}

// end is the byte behind the last voxel.
func (f *niftiFile) end() int64 {
	return f.start + int64(f.volumes)*int64(f.voxels)*int64(f.kind.size)
}

// seek goes to the first voxel of a volume.
func (f *niftiFile) seek(volume int) error {
	if err := f.source.mustHold(f.end()); err != nil {
		return err
	}
	target := f.start + int64(volume)*int64(f.voxels)*int64(f.kind.size)
	skipped, err := f.source.skip(target - f.position)
	f.position += skipped
	if err != nil {
		return truncation(err, f.position, f.end())
	}
	return nil
}

func (f *niftiFile) choose(index int) (int, error) {
	return chooseVolume("shape "+product(f.whole), f.volumes, index)
}

// read returns one volume, or the only one.
func (f *niftiFile) read(index int) (*Volume, error) {
	volume, err := f.choose(index)
	if err != nil {
		return nil, err
	}
	if err := f.seek(volume); err != nil {
		return nil, err
	}
	data, read, err := f.kind.decode(f.source, f.voxels, f.expected(), f.order, f.scale, f.shift)
	f.position += read
	if err != nil {
		return nil, truncation(err, f.position, f.end())
	}
	if volume == f.volumes-1 {
		if err := f.source.finish(); err != nil {
			return nil, err
		}
	}
	v := &Volume{Data: data, Shape: f.shape, Affine: f.place, Spacing: spacingOf(f.place)}
	if !f.kind.integer || f.scale != 1 || f.shift != 0 {
		v.replaceNonFinite()
	}
	return v, nil
}

// expected is how many voxels memory is taken for before they are read: all when
// the size of the file, or that at the end of a gzip file, agrees with the header,
// which mustHold bounds; else at most 64 bytes for each byte of the file.
func (f *niftiFile) expected() int {
	if size, ok := f.source.trailer(); !f.source.compressed || ok && size == uint32(f.end()) {
		return f.voxels
	}
	return int(min(int64(f.voxels), 16*f.source.size))
}

func (f *niftiFile) readDescribed(index int) (*Volume, *Description, error) {
	v, err := f.read(index)
	if err != nil {
		return nil, nil, err
	}
	d := f.summary()
	if f.volumes > 1 {
		d.choose(index)
	}
	return v, d, nil
}
