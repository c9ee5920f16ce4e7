package dev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is for how long nothing may change before a change counts as complete: editors
	// and git write several files.
	quiet = 150 * time.Millisecond
	// longestQuiet bounds the wait while something changes all the time.
	longestQuiet = 2 * time.Second
)

// change is what has changed since the last one.
type change struct {
	protos bool // a proto, or a file that says how code is generated
	code   bool // what go build reads, or something else that may be embedded
	paths  map[string]bool
}

// add notes a path, and reports whether it matters.
func (c *change) add(path string) bool {
	if c.paths == nil {
		c.paths = make(map[string]bool)
	}
	base := filepath.Base(path)
	switch {
	case strings.HasPrefix(base, ".") || strings.HasSuffix(base, "~") || strings.HasSuffix(base, "_test.go"):
		return false
	case strings.HasSuffix(base, ".proto") || base == "buf.yaml" || base == "buf.gen.yaml" || base == "buf.work.yaml":
		c.protos = true
	case strings.HasSuffix(base, ".go") || base == "go.mod" || base == "go.sum" || base == "go.work":
		c.code = true
	}
	c.paths[path] = true
	return true
}

// watcher watches all directories of a project.
type watcher struct {
	fs      *fsnotify.Watcher
	changes chan change
}

// watch begins to watch the project until ctx ends.
func watch(ctx context.Context, dir string, out *output) (*watcher, error) {
	fsw, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, watchError(err)
	}
	w := &watcher{fs: fsw, changes: make(chan change)}
	if _, err := w.addTree(dir); err != nil {
		return nil, errors.Join(watchError(err), fsw.Close())
	}
	go w.run(ctx, out)
	return w, nil
}

// watchError says what to do about the bound of the system.
func watchError(err error) error {
	return fmt.Errorf("watch the files of the project: %w; if the system has too few watches for it, "+
		"raise fs.inotify.max_user_watches and max_user_instances (sysctl)", err)
}

// addTree watches a directory and those below it, and returns the files in them.
func (w *watcher) addTree(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it has gone again
		case err != nil:
			return err
		case !d.IsDir():
			files = append(files, path)
			return nil
		case path != root && skipped(d.Name()):
			return fs.SkipDir
		}
		if err := w.fs.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	return files, err
}

// skipped are the directories in which no server has its files: those that the go command
// ignores, and node_modules, which can be very large.
func skipped(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "node_modules" || name == "testdata"
}

// run collects changes until nothing has changed for a while, and hands them on.
func (w *watcher) run(ctx context.Context, out *output) {
	defer func() { _ = w.fs.Close() }() // nobody reads it any more
	var collected change
	var first time.Time
	var ripe <-chan time.Time
	var ready chan change
	for {
		select {
		case <-ctx.Done():
			return
		case ready <- collected:
			collected, ready = change{}, nil
		case <-ripe:
			ripe, ready = nil, w.changes
		case event := <-w.fs.Events:
			if !w.see(event, &collected, out) {
				continue
			}
			if ready == nil && ripe == nil {
				first = time.Now()
			}
			ripe, ready = time.After(max(0, min(quiet, longestQuiet-time.Since(first)))), nil
		case err := <-w.fs.Errors:
			// Events were lost, so everything may have changed.
			out.sayf(warning, "watch the files: %v; all is built anew", err)
			collected.protos, collected.code = true, true
			ready = w.changes
		}
	}
}

// see notes an event, and reports whether it matters.
func (w *watcher) see(event fsnotify.Event, collected *change, out *output) bool {
	if event.Op == fsnotify.Chmod {
		return false
	}
	if event.Has(fsnotify.Create) {
		if info, err := os.Lstat(event.Name); err == nil && info.IsDir() {
			if skipped(filepath.Base(event.Name)) {
				return false
			}
			// Files may be in it that were made before it was watched.
			files, err := w.addTree(event.Name)
			if err != nil {
				out.sayf(warning, "%v", watchError(err))
			}
			matters := false
			for _, f := range files {
				matters = collected.add(f) || matters
			}
			return matters
		}
	}
	return collected.add(event.Name)
}
