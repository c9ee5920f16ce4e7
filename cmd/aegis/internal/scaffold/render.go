package scaffold

import (
	"bytes"
	"embed"
	"fmt"
	"go/format"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"text/template"

	protos "github.com/aegisrpc/aegis/proto"
)

//go:embed all:templates
var templates embed.FS

const (
	// goVersion is that of the module of Aegis, which a module that requires it needs too.
	goVersion = "1.26.0"
	goImage   = "1.26"
	// bufVersion is the version of buf with which the tests lint a project.
	bufVersion = "v1.75.0"
)

// project is what the templates are filled with.
type project struct {
	names

	Methods []method
	Aegis   origin
}

// Has reports whether the project shows a pattern.
func (p project) Has(pattern string) bool {
	return slices.ContainsFunc(p.Methods, func(m method) bool { return m.Pattern == pattern })
}

// HasCalls reports whether the service has a method besides its event.
func (p project) HasCalls() bool {
	return slices.ContainsFunc(p.Methods, func(m method) bool { return m.Pattern != patternEvent })
}

// Shows says in half a sentence what the project shows.
func (p project) Shows() string {
	var all []string
	for _, m := range p.Methods {
		all = append(all, m.Shows)
	}
	if len(all) == 1 {
		return all[0]
	}
	return strings.Join(all[:len(all)-1], ", ") + ", and " + all[len(all)-1]
}

// GoVersion is the least version of Go.
func (project) GoVersion() string { return goVersion }

// GoImage is the tag of the image in which the Dockerfile builds.
func (project) GoImage() string { return goImage }

// BufVersion is the version of buf that lints.
func (project) BufVersion() string { return bufVersion }

// files returns the files of the project by their paths, without generated ones.
func (p project) files() (map[string][]byte, error) {
	all := make(map[string][]byte)
	err := fs.WalkDir(protos.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		all["proto/"+name], err = fs.ReadFile(protos.Files, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(templates, "templates", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		target := strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".tmpl")
		if !p.wants(target) {
			return nil
		}
		if target == "proto/NAME.proto" {
			target = p.ProtoFile()
		}
		all[target], err = p.render(name, target)
		return err
	})
	return all, err
}

// wants reports whether a file belongs to the project: the files of a method belong to it
// only with the method, and the helpers of the tests only with calls.
func (p project) wants(target string) bool {
	base := strings.TrimSuffix(strings.TrimSuffix(path.Base(target), ".go"), "_test")
	for _, m := range methods {
		if base == m.File && strings.HasSuffix(target, ".go") {
			return p.Has(m.Pattern)
		}
	}
	return path.Base(target) != "service_test.go" || p.HasCalls()
}

func (p project) render(name, target string) ([]byte, error) {
	t, err := template.New(path.Base(name)).Option("missingkey=error").ParseFS(templates, name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(target, ".go") {
		return b.Bytes(), nil
	}
	// The order of imports and the columns depend on the names.
	code, err := format.Source(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", target, err)
	}
	return code, nil
}

// sortedPaths returns the paths of files in the order in which they are written.
func sortedPaths(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }
