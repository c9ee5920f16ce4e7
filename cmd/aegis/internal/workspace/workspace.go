// Package workspace finds the .proto files of a buf workspace: the modules that buf.yaml or
// buf.work.yaml names, the files that an input and its paths select, and the files that
// others import.
package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bufconfig"
)

// Workspace is a directory with modules, and the part of it that an input selects.
type Workspace struct {
	root    string // absolute
	display string // root as errors name it, relative to the working directory if it is below
	prefix  string // put before the names of files in errors
	input   string // of the input, relative to root, with slashes
	modules []bufconfig.Module
}

// Open finds the workspace of an input, a directory: its own buf.yaml or buf.work.yaml, or
// that of a directory above which has it as a module; without any, the directory is a module
// by itself. config is the path of a buf.yaml to take in place of the workspace's own; ""
// for none.
func Open(dir, config string) (*Workspace, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(abs); err != nil {
		return nil, fmt.Errorf("the input %s: %w", dir, err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("the input %s is no directory; name its directory, and the file with --path", dir)
	}
	w := &Workspace{root: abs, input: "."}
	switch {
	case config != "":
		err = w.configured(config)
	default:
		err = w.find(abs)
	}
	if err != nil {
		return nil, err
	}
	w.display = displayed(w.root)
	return w, w.check(dir)
}

// displayed returns a path as errors name it.
func displayed(abs string) string {
	cwd, err := os.Getwd()
	if err != nil {
		return abs
	}
	if rel, err := filepath.Rel(cwd, abs); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return abs
}

// configured reads a buf.yaml from elsewhere: its modules are relative to the input.
func (w *Workspace) configured(config string) error {
	data, err := os.ReadFile(config) //nolint:gosec // the user names it
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	read, err := bufconfig.ReadBufYAML(config, data)
	if err != nil {
		return err
	}
	w.modules = read.Modules
	return nil
}

// find looks for the workspace in the directory of the input and above.
func (w *Workspace) find(input string) error {
	for dir := input; ; dir = filepath.Dir(dir) {
		below, err := filepath.Rel(dir, input)
		if err != nil {
			return err
		}
		found, err := w.load(dir, filepath.ToSlash(below))
		if err != nil || found {
			return err
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return w.single()
}

// load reads the workspace of a directory, if it has one that concerns the input, which is
// below it.
func (w *Workspace) load(dir, below string) (bool, error) {
	read, err := readYAML(dir, bufconfig.BufYAML, bufconfig.ReadBufYAML)
	if err != nil {
		return false, err
	}
	if read == nil || read.Version != "v2" {
		work, err := readYAML(dir, bufconfig.BufWork, bufconfig.ReadBufWork)
		if err != nil {
			return false, err
		}
		switch {
		case work != nil:
			read = work
			if err := ownYAMLs(dir, read.Modules); err != nil {
				return false, err
			}
		case read != nil && below != ".":
			return false, fmt.Errorf("the input is within the module %s, whose buf.yaml is of version v1; "+
				"name that directory as the input, and what is wanted of it with --path", displayed(dir))
		default:
			return false, nil
		}
	}
	if below != "." && !concerns(read.Modules, below) {
		return false, nil
	}
	w.root, w.input, w.modules = dir, below, read.Modules
	return true, nil
}

// concerns reports whether a directory has modules in it or is in a module.
func concerns(modules []bufconfig.Module, dir string) bool {
	for _, m := range modules {
		if _, ok := bufconfig.Below(dir, m.Dir); ok {
			return true
		}
		if _, ok := bufconfig.Below(m.Dir, dir); ok {
			return true
		}
	}
	return false
}

// single makes the input a module by itself, with what its buf.yaml of version v1 says.
func (w *Workspace) single() error {
	w.modules = []bufconfig.Module{{Dir: "."}}
	return ownYAMLs(w.root, w.modules)
}

// ownYAMLs completes modules by the buf.yaml of version v1 in each of their directories.
func ownYAMLs(root string, modules []bufconfig.Module) error {
	for i := range modules {
		dir := filepath.Join(root, filepath.FromSlash(modules[i].Dir))
		own, err := readYAML(dir, bufconfig.BufYAML, bufconfig.ReadBufYAML)
		if err != nil {
			return err
		}
		if own == nil {
			continue
		}
		if own.Version != "v1" {
			return fmt.Errorf("%s is of version %s within a workspace of version v1; write a buf.yaml of version v2 at the top, in place of buf.work.yaml",
				filepath.Join(displayed(dir), bufconfig.BufYAML), own.Version)
		}
		modules[i].Name, modules[i].Excludes = own.Modules[0].Name, own.Modules[0].Excludes
	}
	return nil
}

// readYAML reads a file of a directory; nil if it is not there.
func readYAML(dir, name string, read func(string, []byte) (*bufconfig.Workspace, error)) (*bufconfig.Workspace, error) {
	file := filepath.Join(dir, name)
	data, err := os.ReadFile(file) //nolint:gosec // a fixed name in a directory above the input
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, err
	}
	return read(displayed(file), data)
}

// check refuses an input that has no module, and modules that are not there.
func (w *Workspace) check(dir string) error {
	if slices.ContainsFunc(w.modules, w.targeted) {
		return w.exist()
	}
	for _, m := range w.modules {
		if _, ok := bufconfig.Below(m.Dir, w.input); ok {
			return fmt.Errorf("the input %s is within the module %s; name the workspace or the module as the input, and what is wanted of it with --path",
				dir, w.displayName(m.Dir))
		}
	}
	return fmt.Errorf("the input %s has none of the modules of its workspace", dir)
}

func (w *Workspace) exist() error {
	var errs []error
	for _, m := range w.modules {
		dir := filepath.Join(w.root, filepath.FromSlash(m.Dir))
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			errs = append(errs, fmt.Errorf("the module %s is no directory", w.displayName(m.Dir)))
		}
	}
	return errors.Join(errs...)
}

// targeted reports whether a module is part of the input.
func (w *Workspace) targeted(m bufconfig.Module) bool {
	_, ok := bufconfig.Below(w.input, m.Dir)
	return ok
}

// has reports whether a module has a file, by its includes and excludes.
func has(m bufconfig.Module, file string) bool {
	included := len(m.Includes) == 0
	for _, dir := range m.Includes {
		if _, ok := bufconfig.Below(dir, file); ok {
			included = true
		}
	}
	for _, dir := range m.Excludes {
		if _, ok := bufconfig.Below(dir, file); ok {
			return false
		}
	}
	return included
}

// isProto reports whether a path is that of a .proto file.
func isProto(file string) bool {
	return path.Ext(file) == ".proto" && strings.TrimSuffix(path.Base(file), ".proto") != ""
}
