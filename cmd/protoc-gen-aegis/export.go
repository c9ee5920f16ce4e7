package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// exportProtos writes Aegis's .proto files, which those of a user import, below dir. It
// overwrites older versions of them and prints the paths.
func exportProtos(dir string, files fs.FS, stdout io.Writer) error {
	if dir == "" {
		return errors.New("--export-protos needs a directory, such as --export-protos proto")
	}
	return fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("export the .proto files: %w", err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return fmt.Errorf("export the .proto files: %w", err)
		}
		_, err = fmt.Fprintln(stdout, path)
		return err
	})
}
