package main

import (
	"errors"
	"os"
	"path/filepath"
)

// writeBeside writes data to a file of a temporary name in the folder of path,
// to be renamed to it, and returns that name. After an error no file is left.
func writeBeside(path string, data []byte) (temporary string, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".ballast-*")
	if err != nil {
		return "", err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Chmod(0o644), file.Close()); err != nil {
		_ = os.Remove(file.Name())
		return "", err
	}
	return file.Name(), nil
}

// replaceFile writes a file whole or not at all, in the place of one that is there.
func replaceFile(path string, data []byte) error {
	temporary, err := writeBeside(path, data)
	if err != nil {
		return err
	}
	if err = os.Rename(temporary, path); err != nil {
		_ = os.Remove(temporary)
	}
	return err
}
