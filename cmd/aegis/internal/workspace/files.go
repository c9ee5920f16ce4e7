package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bufconfig"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/protoset"
)

// ErrNoFiles is the error of an input, with its paths, that selects no file.
var ErrNoFiles = errors.New("no .proto file is selected: the input has none, --path names something that is not there, or --exclude-path excludes all")

// Source returns the file that an import names. It is the Sources of protoset.Compile.
func (w *Workspace) Source(importPath string) (protoset.Source, error) {
	none := &fs.PathError{Op: "open", Path: importPath, Err: fs.ErrNotExist}
	if !fs.ValidPath(importPath) || !isProto(importPath) {
		return protoset.Source{}, none
	}
	m, err := w.moduleOf(importPath)
	if err != nil {
		return protoset.Source{}, err
	}
	if m == nil {
		return protoset.Source{}, none
	}
	below := path.Join(m.Dir, importPath)
	text, err := os.ReadFile(filepath.Join(w.root, filepath.FromSlash(below)))
	if err != nil {
		return protoset.Source{}, err
	}
	return protoset.Source{Display: w.displayName(below), Text: string(text)}, nil
}

// ModuleName returns the name of the module that has a file; "" for none.
func (w *Workspace) ModuleName(importPath string) string {
	if m, err := w.moduleOf(importPath); err == nil && m != nil {
		return m.Name
	}
	return ""
}

// moduleOf returns the module that has a file; nil for none.
func (w *Workspace) moduleOf(importPath string) (*bufconfig.Module, error) {
	var found *bufconfig.Module
	for i := range w.modules {
		m := &w.modules[i]
		if !has(*m, importPath) {
			continue
		}
		info, err := os.Stat(filepath.Join(w.root, filepath.FromSlash(path.Join(m.Dir, importPath))))
		if err != nil || info.IsDir() {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%s is in two modules, %s and %s; an import of it would mean either", importPath, found.Dir, m.Dir)
		}
		found = m
	}
	return found, nil
}

// Select returns the imports of all files of the input, sorted. If paths is not empty, they
// are those in these files and directories; those in excludes are left out. Both are paths of
// the operating system, relative to the working directory.
func (w *Workspace) Select(paths, excludes []string) ([]string, error) {
	wanted, err := w.relative("--path", paths)
	if err != nil {
		return nil, err
	}
	unwanted, err := w.relative("--exclude-path", excludes)
	if err != nil {
		return nil, err
	}
	if err := w.checkPaths(wanted, unwanted); err != nil {
		return nil, err
	}
	var files []string
	for _, m := range w.modules {
		if !w.targeted(m) {
			continue
		}
		found, err := w.filesOf(m)
		if err != nil {
			return nil, err
		}
		for _, file := range found {
			whole := path.Join(m.Dir, file)
			if (len(wanted) == 0 || covers(wanted, whole)) && !covers(unwanted, whole) {
				files = append(files, file)
			}
		}
	}
	slices.Sort(files)
	for i := 1; i < len(files); i++ {
		if files[i] == files[i-1] {
			_, err := w.moduleOf(files[i])
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, ErrNoFiles
	}
	return files, nil
}

// relative makes paths relative to the workspace.
func (w *Workspace) relative(flag string, paths []string) ([]string, error) {
	var all []string
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(w.root, abs)
		if err != nil || !filepath.IsLocal(rel) {
			return nil, fmt.Errorf("%s %s is not within the workspace %s", flag, p, w.display)
		}
		all = append(all, filepath.ToSlash(rel))
	}
	return all, nil
}

// checkPaths refuses paths that select nothing or everything.
func (w *Workspace) checkPaths(wanted, unwanted []string) error {
	for _, p := range wanted {
		if p == w.input {
			return fmt.Errorf("--path %s is the input itself; leave it out", p)
		}
		for _, m := range w.modules {
			if w.targeted(m) && p == m.Dir {
				return fmt.Errorf("--path %s is a module; name it as the input", p)
			}
		}
		if covers(unwanted, p) {
			return fmt.Errorf("--path %s is within an --exclude-path, so nothing of it would be left", p)
		}
	}
	for _, p := range unwanted {
		if p == w.input {
			return fmt.Errorf("--exclude-path %s is the input itself, so nothing would be left", p)
		}
		for _, m := range w.modules {
			if p == m.Dir && w.targeted(m) && (len(wanted) == 0 || slices.ContainsFunc(wanted, func(want string) bool { return covers([]string{m.Dir}, want) })) {
				return fmt.Errorf("--exclude-path %s is a module; it can name files and directories within modules only", p)
			}
		}
	}
	return nil
}

// covers reports whether a file is one of paths or in one of them.
func covers(paths []string, file string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		_, ok := bufconfig.Below(p, file)
		return ok
	})
}

// filesOf returns the .proto files of a module, relative to it. It follows symbolic links.
func (w *Workspace) filesOf(m bufconfig.Module) ([]string, error) {
	walk := &walk{w: w, m: m}
	if err := walk.dir(".", nil); err != nil {
		return nil, fmt.Errorf("read the files of the module %s: %w", w.displayName(m.Dir), err)
	}
	return walk.files, nil
}

// walk collects the .proto files of a module.
type walk struct {
	w     *Workspace
	m     bufconfig.Module
	files []string
}

// dir collects those of a directory; above are the directories that it is in.
func (k *walk) dir(dir string, above []os.FileInfo) error {
	whole := filepath.Join(k.w.root, filepath.FromSlash(path.Join(k.m.Dir, dir)))
	info, err := os.Stat(whole)
	if errors.Is(err, fs.ErrNotExist) && dir != "." {
		return nil // it was deleted meanwhile
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(above, func(a os.FileInfo) bool { return os.SameFile(a, info) }) {
		return fmt.Errorf("%s is a symbolic link to a directory that it is in", k.w.displayName(path.Join(k.m.Dir, dir)))
	}
	entries, err := os.ReadDir(whole)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		below := path.Join(dir, entry.Name())
		isDir, ok := isDirectory(whole, entry)
		switch {
		case !ok:
		case isDir && !slices.Contains(k.m.Excludes, below):
			if err := k.dir(below, append(slices.Clip(above), info)); err != nil {
				return err
			}
		case !isDir && isProto(below) && has(k.m, below):
			k.files = append(k.files, below)
		}
	}
	return nil
}

// isDirectory reports whether an entry of a directory is one, or a symbolic link to one. It
// returns false for a link that leads nowhere.
func isDirectory(dir string, entry fs.DirEntry) (isDir, ok bool) {
	if entry.Type()&fs.ModeSymlink == 0 {
		return entry.IsDir(), true
	}
	target, err := os.Stat(filepath.Join(dir, entry.Name()))
	if err != nil {
		return false, false
	}
	return target.IsDir(), true
}

// DisplayBelow has errors name files relative to dir, with a prefix.
func (w *Workspace) DisplayBelow(dir, prefix string) {
	if rel, err := filepath.Rel(dir, w.root); err == nil {
		w.prefix, w.display = prefix, rel
	}
}

// displayName returns a file or directory of the workspace as errors name it.
func (w *Workspace) displayName(below string) string {
	return w.prefix + filepath.Join(w.display, filepath.FromSlash(below))
}
