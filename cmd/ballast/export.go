package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ballast/train"
)

func exportCommand() *cobra.Command {
	var onnx, safetensors, weights string
	var asJSON bool
	c := &cobra.Command{
		Use:   "export RUN",
		Short: "Write the network of a run for other programs",
		Long: "Export writes a trained network as ONNX, for ONNX Runtime and its like, or its weights as\n" +
			"safetensors with PyTorch's names and shapes. Both files say in their metadata what the network\n" +
			"is, what its classes are called and how an image has to be prepared.",
		Example: "  ballast export runs/COHORT-1 --onnx model.onnx\n" +
			"  ballast export runs/COHORT-1 --safetensors model.safetensors --weights averaged",
		Args: exactly(1, "one run folder"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkWeights(weights); err != nil {
				return err
			}
			if onnx == "" && safetensors == "" {
				return fmt.Errorf("%w: nothing to write; name a file with --onnx or --safetensors", errUsage)
			}
			if filepath.Clean(onnx) == filepath.Clean(safetensors) {
				return fmt.Errorf("%w: --onnx and --safetensors are both %s", errUsage, onnx)
			}
			for _, path := range []string{onnx, safetensors} {
				if err := mustBeFree(path); err != nil {
					return err
				}
			}
			export, err := train.OpenExport(args[0], weights, "ballast "+version)
			if err != nil {
				return fmt.Errorf("%w: %w", errInput, err)
			}
			files, err := exportFiles(export, onnx, safetensors)
			if err != nil {
				return err
			}
			return printExport(c.OutOrStdout(), export, files, asJSON)
		},
	}
	c.Flags().StringVar(&onnx, "onnx", "", "file to write the network to, as ONNX")
	c.Flags().StringVar(&safetensors, "safetensors", "", "file to write the weights to, as safetensors")
	c.Flags().StringVar(&weights, "weights", train.LastWeights, "last, best or averaged")
	c.Flags().BoolVar(&asJSON, "json", false, "print what was written as JSON")
	return c
}

// checkWeights refuses what is none of a run's weights.
func checkWeights(weights string) error {
	known := []string{train.LastWeights, train.BestWeights, train.AveragedWeights}
	if !slices.Contains(known, weights) {
		return fmt.Errorf("%w: --weights is %q; it can be %s", errUsage, weights, strings.Join(known, ", "))
	}
	return nil
}

// mustBeFree refuses to write over a file; the empty name is none.
func mustBeFree(path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("write %s: it exists; choose another name or remove it", path)
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("write %s: %w", path, withoutPath(err))
	}
	return nil
}

// writeFree writes a file that was not there before.
func writeFree(path string, data []byte) error {
	if err := mustBeFree(path); err != nil {
		return err
	}
	if err := replaceFile(path, data); err != nil {
		return fmt.Errorf("write %s: %w", path, withoutPath(err))
	}
	return nil
}

type exportedFile struct {
	Path   string `json:"path"`
	Format string `json:"format"`
	Bytes  int    `json:"bytes"`
}

func exportFiles(export *train.Export, onnx, safetensors string) ([]exportedFile, error) {
	var files []exportedFile
	for _, wanted := range []struct {
		path, format string
		write        func(io.Writer) error
	}{{onnx, "onnx", export.WriteONNX}, {safetensors, "safetensors", export.WriteSafetensors}} {
		if wanted.path == "" {
			continue
		}
		var data bytes.Buffer
		if err := wanted.write(&data); err != nil {
			return nil, fmt.Errorf("write %s: %w", wanted.path, err)
		}
		if err := writeFree(wanted.path, data.Bytes()); err != nil {
			return nil, err
		}
		files = append(files, exportedFile{wanted.path, wanted.format, data.Len()})
	}
	return files, nil
}

// printExport says what was written and what goes in and comes out.
func printExport(w io.Writer, export *train.Export, files []exportedFile, asJSON bool) error {
	if asJSON {
		return printJSON(w, struct {
			Files    []exportedFile    `json:"files"`
			Metadata map[string]string `json:"metadata"`
		}{files, export.Metadata()})
	}
	var text strings.Builder
	for _, file := range files {
		fmt.Fprintf(&text, "wrote %s: %s, %d bytes\n", file.Path, export.Config().Name, file.Bytes)
	}
	fmt.Fprintf(&text, "input image (%s), classes %s\n", export.InputShape(), strings.Join(export.Classes(), ", "))
	_, err := io.WriteString(w, text.String())
	return err
}
