package generate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/pluginpb"
)

// output collects the files of all plugins. Nothing is written before all are there.
type output struct {
	files map[string]outFile  // by absolute path
	outs  map[string]struct{} // the out directories, absolute
}

type outFile struct {
	content []byte
	plugin  string
	run     int // the plugin's place in the template
}

func newOutput() *output {
	return &output{files: make(map[string]outFile), outs: make(map[string]struct{})}
}

// add adds the files of a response below the directory out. No file may be generated twice,
// as one of the two would be lost.
func (o *output) add(run int, plugin, out string, resp *pluginpb.CodeGeneratorResponse) error {
	abs, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	o.outs[abs] = struct{}{}
	for _, f := range resp.GetFile() {
		name := filepath.FromSlash(f.GetName())
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%s: the generated file %q would be outside of its directory %s; go_package or the parameter M leads there", plugin, f.GetName(), out)
		}
		path := filepath.Join(abs, name)
		content := []byte(f.GetContent())
		before, ok := o.files[path]
		switch {
		case !ok:
			o.files[path] = outFile{content: content, plugin: plugin, run: run}
		case before.run != run:
			return fmt.Errorf("the file %s is generated twice: by %s and by %s; give one of them another out", filepath.Join(out, name), before.plugin, plugin)
		case !bytes.Equal(before.content, content):
			return fmt.Errorf("%s generates the file %s twice, from two .proto files; give one of them another name or go_package", plugin, filepath.Join(out, name))
		}
	}
	return nil
}

// checkClean refuses to clean a directory that has more than generated code in it.
func (o *output) checkClean() error {
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	cwd = resolved(cwd)
	for _, out := range slices.Sorted(maps.Keys(o.outs)) {
		rel, err := filepath.Rel(resolved(out), cwd)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return fmt.Errorf("clean would delete everything in %s, which is the working directory or above it; "+
				"write to a directory below, or leave clean out", out)
		}
	}
	return nil
}

// resolved returns a path without symbolic links, as far as it is there.
func resolved(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return path
}

// write writes the files that differ from what is there.
func (o *output) write(s *Summary) error {
	for _, path := range slices.Sorted(maps.Keys(o.files)) {
		content := o.files[path].content
		if was, err := os.ReadFile(path); err == nil && bytes.Equal(was, content) { //nolint:gosec // the template names it
			s.Unchanged++
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("after %d files: %w", s.Written, err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return fmt.Errorf("after %d files: %w", s.Written, err)
		}
		s.Written++
	}
	return nil
}

// clean deletes the files of the out directories that were not generated, and directories
// that are empty then.
func (o *output) clean(s *Summary) error {
	for _, out := range slices.Sorted(maps.Keys(o.outs)) {
		err := filepath.WalkDir(out, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			if _, ok := o.files[path]; ok {
				return nil
			}
			s.Deleted++
			return os.Remove(path) //nolint:gosec // of a directory that the template gives over
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clean %s: %w", out, err)
		}
		if err := removeEmpty(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clean %s: %w", out, err)
		}
	}
	return nil
}

// removeEmpty removes the empty directories below a directory.
func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		below := filepath.Join(dir, entry.Name())
		if err := removeEmpty(below); err != nil {
			return err
		}
		left, err := os.ReadDir(below)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			if err := os.Remove(below); err != nil {
				return err
			}
		}
	}
	return nil
}
