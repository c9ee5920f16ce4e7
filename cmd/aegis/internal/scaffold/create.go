package scaffold

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// mostListed bounds how many entries of a directory an error names.
const mostListed = 8

// create writes the project into the directory dir, which must be empty or not be there.
// The project is made in a directory beside it and renamed when it is complete, so an
// error leaves nothing behind.
func create(ctx context.Context, app *cli.App, p project, dir string) (err error) {
	if err := checkEmpty(dir); err != nil {
		return err
	}
	files, err := p.files()
	if err != nil {
		return err
	}
	// The name begins with a dot, so that a go command in the directory above ignores it.
	building, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-*")
	if err != nil {
		return fmt.Errorf("make the project: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(building))
		}
	}()
	if err := writeFiles(building, files); err != nil {
		return err
	}
	progress := app.Progress("generating the code of the proto")
	defer progress.Done()
	if err := generateCode(ctx, building); err != nil {
		return fmt.Errorf("generate the code of the proto: %w", err)
	}
	if err := resolveModules(ctx, building, progress); err != nil {
		return err
	}
	// MkdirTemp makes a directory for its user alone; a project is as readable as others.
	if err := os.Chmod(building, 0o755); err != nil { //nolint:gosec // it holds source code
		return err
	}
	return moveTo(building, dir)
}

// checkEmpty returns an error unless dir is an empty directory or not there.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		if info, statErr := os.Stat(dir); statErr == nil && !info.IsDir() {
			return fmt.Errorf("%s is a file here: choose another name, or move the file away", filepath.Base(dir))
		}
		return err
	case len(entries) == 0:
		return nil
	}
	var listed []string
	for _, e := range entries[:min(len(entries), mostListed)] {
		name := e.Name()
		if e.IsDir() {
			name += "/"
		}
		listed = append(listed, name)
	}
	if more := len(entries) - len(listed); more > 0 {
		listed = append(listed, fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("the directory %s is not empty, and init overwrites nothing: it has %s; choose another name, or empty it",
		filepath.Base(dir), strings.Join(listed, ", "))
}

func writeFiles(dir string, files map[string][]byte) error {
	for _, name := range sortedPaths(files) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make the project: %w", err)
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return fmt.Errorf("make the project: %w", err)
		}
	}
	return nil
}

// moveTo renames a directory to dir, which was empty or not there.
func moveTo(building, dir string) error {
	// Remove fails if somebody has put something into dir meanwhile, and nothing is lost.
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make the project: %w", err)
	}
	if err := os.Rename(building, dir); err != nil {
		return fmt.Errorf("make the project: %w", err)
	}
	return nil
}
