package cohort

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// ReadVolume reads a file of one volume: NIfTI-1 or NIfTI-2 (.nii, .nii.gz, or a
// pair of .hdr and .img), DICOM (a file, or a folder of one series), PNG, JPEG,
// TIFF or BMP. The kind is told by the content, not by the name.
//
// Errors name the file and wrap ErrFormat, ErrHeader, ErrTruncated,
// ErrUnsupported, or ErrVolumes when there are several volumes to choose from.
// Voxels that are not finite are counted in Volume.NonFinite and replaced;
// whether the image is still usable is for Volume.Check.
func ReadVolume(path string) (*Volume, error) { return ReadVolumeAt(path, Unchosen) }

// ReadVolumeAt reads volume index, counted from 0, of a file that holds several:
// time points, diffusion directions, echoes, the pages of a TIFF. With five or
// more dimensions volumes are counted in the order of the file, the fourth
// dimension fastest. Unchosen reads the only volume.
func ReadVolumeAt(path string, index int) (*Volume, error) {
	file, err := openImage(path)
	if err != nil {
		return nil, readError(path, err)
	}
	defer file.Close()
	v, err := file.read(index)
	if err != nil {
		return nil, readError(path, err)
	}
	return v, nil
}

// ReadDescribed reads one volume and describes it in one pass, for programs that
// want both. The statistics are those of the float32 voxels, in which values that
// are not finite have been replaced.
func ReadDescribed(path string, index int) (*Volume, *Description, error) {
	file, err := openImage(path)
	if err != nil {
		return nil, nil, readError(path, err)
	}
	defer file.Close()
	v, d, err := file.readDescribed(index)
	if err != nil {
		return nil, nil, readError(path, err)
	}
	var m moments
	m.addNarrow(v.Data)
	m.count, m.nonFinite = m.count-v.NonFinite, v.NonFinite
	m.fill(d)
	d.File = path
	return v, d.tidy(), nil
}

// readError says once which file could not be read.
func readError(path string, err error) error {
	var ofFile *os.PathError
	if errors.As(err, &ofFile) && ofFile.Path == path {
		err = ofFile.Err
	}
	return fmt.Errorf("read %s: %w", path, err)
}

// ReadMask reads an image whose voxels above 0 are inside. It returns
// ErrEmptyMask when there is none.
func ReadMask(path string) (*Volume, error) {
	v, err := ReadVolume(path)
	if err != nil {
		return nil, err
	}
	for _, x := range v.Data {
		if x > 0 {
			return v, nil
		}
	}
	return nil, fmt.Errorf("read %s: %w", path, ErrEmptyMask)
}

// Load reads the image (Path alone) and its mask (nil when there is none) and checks both:
// Volume.Check for the image, ErrEmptyMask and ErrGeometry for the mask.
func (i Image) Load() (v, mask *Volume, err error) {
	if v, err = ReadVolumeAt(i.Path, i.Volume); err != nil {
		return nil, nil, err
	}
	if err = v.Check(); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", i.Path, err)
	}
	if i.Mask == "" {
		return v, nil, nil
	}
	if mask, err = ReadMask(i.Mask); err != nil {
		return nil, nil, err
	}
	if err = v.SameGrid(mask); err != nil {
		return nil, nil, fmt.Errorf("read %s and %s: %w", i.Path, i.Mask, err)
	}
	return v, mask, nil
}

// An imageFile is an opened file (or folder) of one kind. Volumes are chosen by
// index; with Unchosen a file of several can only be described.
type imageFile interface {
	read(index int) (*Volume, error)
	describe(index int) (*Description, error) // with the statistics of all values
	readDescribed(index int) (*Volume, *Description, error)
	Close() error
}

func openImage(path string) (imageFile, error) {
	if archive, member, ok := splitMember(path); ok {
		return openMember(archive, member)
	}
	if isDICOMPath(path) {
		return openDICOM(path)
	}
	path = headerBeside(path)
	source, err := openSource(path)
	if err != nil {
		return nil, err
	}
	file, err := openKind(source, path)
	if err != nil {
		source.Close()
		return nil, err
	}
	return file, nil
}

// openKind opens the file whose content is given; closing it closes the content.
func openKind(source *byteSource, path string) (imageFile, error) {
	kind, err := sniff(source)
	switch {
	case err != nil:
		return nil, err
	case kind == dicomKind:
		if err := source.Close(); err != nil {
			return nil, err
		}
		return openDICOM(path)
	case kind == niftiKind:
		return openNIfTI(source, path)
	case kind == npyKind:
		return openNPY(source)
	}
	return openPicture(source, kind)
}

// isDICOMPath tells what only the reader of DICOM can open: a folder, or one
// series of a folder, named "folder#series".
func isDICOMPath(path string) bool {
	info, err := os.Stat(path)
	if err == nil {
		return info.IsDir()
	}
	at := strings.LastIndex(path, "#")
	if at < 0 {
		return false
	}
	info, err = os.Stat(path[:at])
	return err == nil && info.IsDir()
}

// The kinds of files by content.
type imageKind int

const (
	niftiKind imageKind = iota
	dicomKind
	pngKind
	jpegKind
	tiffKind
	bmpKind
	npyKind
)

// sniff tells by the first bytes. What it does not know is left to the reader
// of NIfTI, whose header begins with a number.
func sniff(source *byteSource) (imageKind, error) {
	start, _ := source.Peek(132)
	if isDICOM(start) { // first: its preamble may be that of a TIFF
		return dicomKind, nil
	}
	for _, picture := range []struct {
		magic string
		kind  imageKind
	}{
		{"\x89PNG\r\n\x1a\n", pngKind}, {"\xff\xd8\xff", jpegKind},
		{"II*\x00", tiffKind}, {"MM\x00*", tiffKind}, {"BM", bmpKind}, {npyMagic, npyKind},
	} {
		if bytes.HasPrefix(start, []byte(picture.magic)) {
			return picture.kind, nil
		}
	}
	if what := otherKind(start); what != "" {
		return 0, fmt.Errorf("%w: it is %s", ErrFormat, what)
	}
	return niftiKind, nil
}

// otherKind names what is often found where an image should be.
func otherKind(start []byte) string {
	for _, kind := range []struct{ magic, name string }{
		{"version https://git-lfs", "a pointer of Git LFS, not the file; fetch it with git lfs pull"},
		{"/annex/objects", "a pointer of git-annex, not the file; fetch it with git annex get"},
		{"<!DOCTYPE html", "a web page; download the file itself"},
		{"<html", "a web page; download the file itself"},
		{"GIF8", "GIF; save it as PNG"},
		{"II+\x00", "BigTIFF; save it as PNG"},
		{"MM\x00+", "BigTIFF; save it as PNG"},
		{"RIFF", "WebP; save it as PNG"},
		{"NRRD", "NRRD; convert it to NIfTI"},
		{"\x89HDF", "HDF5 (MINC 2, MATLAB); convert it to NIfTI"},
		{"PK\x03\x04", "a zip archive; unpack it, or name an image of an .npz archive as FILE#images/0"},
	} {
		if bytes.HasPrefix(start, []byte(kind.magic)) {
			return kind.name
		}
	}
	return ""
}
