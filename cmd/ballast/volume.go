package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ballast/cohort"
)

func volumeCommand() *cobra.Command {
	var asJSON bool
	var volume int
	c := &cobra.Command{
		Use:   "volume FILE",
		Short: "Say what an image file holds and what is unusual about it",
		Long: "Volume reads a whole image (NIfTI, a DICOM file or folder, PNG, JPEG, TIFF, BMP) and\n" +
			"prints its shape, stored type, geometry, scaling and the statistics of its values, and\n" +
			"notes in the manner of nibabel's header checks: what is unusual and what was done about it.\n" +
			"The affine takes a voxel index to RAS+ coordinates in mm.",
		Example: "  ballast volume sub-01_T1w.nii.gz\n" +
			"  ballast volume sub-01_dwi.nii.gz --volume 0 --json",
		Args: exactly(1, "an image file or a folder of DICOM files"),
		RunE: func(c *cobra.Command, args []string) error {
			index := cohort.Unchosen
			if c.Flags().Changed("volume") {
				index = volume
				if volume < 0 {
					return fmt.Errorf("%w: --volume is %d; volumes are counted from 0", errUsage, volume)
				}
			}
			d, err := untilCancelled(c.Context(), func() (*cohort.Description, error) {
				return cohort.DescribeAt(args[0], index)
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), d)
			}
			return printDescription(c.OutOrStdout(), d)
		},
	}
	c.Flags().IntVar(&volume, "volume", 0, "describe this volume of several only, counted from 0 (default all)")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

// printDescription writes one fact per line and the notes below.
func printDescription(w io.Writer, d *cohort.Description) error {
	var text strings.Builder
	line := func(name, format string, values ...any) {
		fmt.Fprintf(&text, "%-12s %s\n", name, fmt.Sprintf(format, values...))
	}
	format := d.Format
	if d.ByteOrder != "" {
		format += ", " + d.ByteOrder + "-endian"
	}
	line("file", "%s", d.File)
	line("format", "%s", format)
	line("shape", "%s%s", times(d.Shape), volumesOf(d))
	line("stored type", "%s", d.Dtype)
	line("spacing", "%s x %s x %s mm", short(d.Spacing[0]), short(d.Spacing[1]), short(d.Spacing[2]))
	line("orientation", "%s", d.Orientation)
	for row, name := range []string{"affine", "", ""} {
		cells := make([]any, 4)
		for column, x := range d.Affine[row] {
			cells[column] = short(x)
			if math.Abs(x) < 1e-6*min(d.Spacing[0], d.Spacing[1], d.Spacing[2]) {
				cells[column] = "0" // rounding left -0 or 1e-18
			}
		}
		line(name, "%11s %11s %11s %11s", cells...)
	}
	line("scaling", "stored x %s + %s", short(d.Scaling.Slope), short(d.Scaling.Intercept))
	line("values", "%s to %s, mean %s, standard deviation %s", short(float64(d.Min)), short(float64(d.Max)), short(float64(d.Mean)), short(float64(d.Std)))
	line("not finite", "%d", d.NonFinite)
	if d.Extensions > 0 {
		line("extensions", "%d (code %s)", d.Extensions, strings.Trim(fmt.Sprint(d.ExtensionCodes), "[]"))
	}
	for _, note := range d.Notes {
		fmt.Fprintf(&text, "%s: %s; %s\n", note.Level, note.Problem, note.Fix)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func volumesOf(d *cohort.Description) string {
	switch {
	case d.Volume != nil:
		return fmt.Sprintf(", volume %d of 0 to %d", *d.Volume, d.Volumes-1)
	case d.Volumes > 1:
		return fmt.Sprintf(", %d volumes", d.Volumes)
	}
	return ""
}

func times(shape []int) string {
	parts := make([]string, len(shape))
	for n, size := range shape {
		parts[n] = strconv.Itoa(size)
	}
	return strings.Join(parts, " x ")
}

func short(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }
