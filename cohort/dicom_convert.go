package cohort

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ballast/cohort/dicom"
)

// converter is the program that reads what Go code here cannot decode
// (https://github.com/rordenlab/dcm2niix).
const converter = "dcm2niix"

// conversionTime is how long it may take for one series.
const conversionTime = 5 * time.Minute

// A convertedSeries is a series as dcm2niix wrote it, in a temporary folder.
type convertedSeries struct {
	imageFile
	folder, format string
}

// convert has dcm2niix convert the files of the series.
func (s *dicomSeries) convert(syntax string) (imageFile, error) {
	name := dicom.SyntaxName(syntax)
	program, err := exec.LookPath(converter)
	if err != nil {
		return nil, fmt.Errorf("%w: compressed as %s, which ballast does not decode itself; install %s, which it then finds on the PATH, or convert the series with it", ErrUnsupported, name, converter)
	}
	folder, err := os.MkdirTemp("", "ballast-dicom-")
	if err != nil {
		return nil, err
	}
	file, err := s.runConverter(program, folder)
	if err != nil {
		os.RemoveAll(folder)
		return nil, fmt.Errorf("compressed as %s: %w", name, err)
	}
	return &convertedSeries{imageFile: file, folder: folder, format: "DICOM, " + name + ", converted by " + converter}, nil
}

// runConverter gives the program a folder of links to the files, named by
// numbers, and opens the one NIfTI file that it must write.
func (s *dicomSeries) runConverter(program, folder string) (imageFile, error) {
	in, out := filepath.Join(folder, "in"), filepath.Join(folder, "out")
	if err := errors.Join(os.Mkdir(in, 0o700), os.Mkdir(out, 0o700)); err != nil {
		return nil, err
	}
	for n, file := range s.files {
		path, err := filepath.Abs(file.path)
		if err != nil {
			return nil, err
		}
		if err := link(path, filepath.Join(in, fmt.Sprintf("%06d.dcm", n))); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), conversionTime)
	defer cancel()
	// -b n: no sidecar; -z n: not compressed; -f: a name without the patient's.
	text, err := exec.CommandContext(ctx, program, "-b", "n", "-z", "n", "-f", "series", "-o", out, in).CombinedOutput()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %s did not end within %s", ErrUnsupported, converter, conversionTime)
	}
	written, globErr := filepath.Glob(filepath.Join(out, "*.nii"))
	if globErr != nil {
		return nil, globErr
	}
	switch {
	case len(written) == 0 && err != nil:
		return nil, fmt.Errorf("%w: %s failed: %w%s", ErrUnsupported, converter, err, lastLine(text))
	case len(written) != 1:
		return nil, fmt.Errorf("%w: %s made %d images of it; convert the series and name the one to use", ErrUnsupported, converter, len(written))
	}
	return openImage(written[0])
}

// link makes a symbolic link or, where the system has none, a copy.
func link(from, to string) error {
	if os.Symlink(from, to) == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if last := lines[len(lines)-1]; last != "" && len(last) < 200 {
		return ": " + last
	}
	return ""
}

func (c *convertedSeries) describe(index int) (*Description, error) {
	d, err := c.imageFile.describe(index)
	if err == nil {
		d.Format = c.format
	}
	return d, err
}

func (c *convertedSeries) readDescribed(index int) (*Volume, *Description, error) {
	v, d, err := c.imageFile.readDescribed(index)
	if err == nil {
		d.Format = c.format
	}
	return v, d, err
}

// Close removes what was written.
func (c *convertedSeries) Close() error {
	return errors.Join(c.imageFile.Close(), os.RemoveAll(c.folder))
}
