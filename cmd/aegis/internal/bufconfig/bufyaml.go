package bufconfig

import (
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The names of the files.
const (
	BufYAML  = "buf.yaml"
	BufWork  = "buf.work.yaml"
	Template = "buf.gen.yaml"
)

// Module is a directory of .proto files whose imports are relative to it.
type Module struct {
	Dir      string // relative to the file that names it, with slashes; "." is its directory
	Name     string // such as buf.build/acme/shop; "" for none
	Includes []string
	Excludes []string // both relative to Dir
}

// Workspace is the content of a buf.yaml or buf.work.yaml.
type Workspace struct {
	// Version is v1 or v2. A buf.yaml of version v1 has one module, its own directory.
	Version string
	Modules []Module // sorted by Dir
}

// ReadBufYAML reads a buf.yaml; name is the file's name in problems. The error is a
// *ProblemsError. Sections for lint and breaking are not looked at, as they do not change
// what is generated.
func ReadBufYAML(name string, data []byte) (*Workspace, error) {
	d := &document{name: name}
	root := d.parse(data)
	if root == nil {
		return nil, d.err()
	}
	w := &Workspace{Version: d.version(root, "v1", "v2")}
	switch w.Version {
	case "v1":
		w.Modules = []Module{d.bufYAMLv1(root)}
	case "v2":
		w.Modules = d.bufYAMLv2(root)
	}
	slices.SortStableFunc(w.Modules, func(a, b Module) int { return strings.Compare(a.Dir, b.Dir) })
	return w, d.err()
}

// ReadBufWork reads a buf.work.yaml of version v1. Its modules have only directories: each
// has a buf.yaml of its own.
func ReadBufWork(name string, data []byte) (*Workspace, error) {
	d := &document{name: name}
	root := d.parse(data)
	if root == nil {
		return nil, d.err()
	}
	w := &Workspace{Version: d.version(root, "v1")}
	d.mapping(root, BufWork, map[string]section{
		keyVersion: ignored,
		"directories": func(value *yaml.Node) {
			d.list(value, "directories", func(element *yaml.Node) {
				if dir, ok := d.inside(element, "a directory"); ok {
					w.Modules = append(w.Modules, Module{Dir: dir})
				}
			})
		},
	})
	if len(d.problems) == 0 && len(w.Modules) == 0 {
		d.failf(root, "directories is missing or empty")
	}
	slices.SortStableFunc(w.Modules, func(a, b Module) int { return strings.Compare(a.Dir, b.Dir) })
	return w, d.err()
}

func (d *document) bufYAMLv1(root *yaml.Node) Module {
	m := Module{Dir: "."}
	d.mapping(root, BufYAML, map[string]section{
		keyVersion: ignored, keyLint: ignored, keyBreaking: ignored,
		keyName: d.text(keyName, &m.Name),
		"deps":  d.deps,
		"build": func(value *yaml.Node) {
			d.mapping(value, "build", map[string]section{
				"excludes": d.pathsBelow("an exclude", ".", &m.Excludes),
			})
		},
	})
	return m
}

func (d *document) bufYAMLv2(root *yaml.Node) []Module {
	var name string
	var modules []Module
	d.mapping(root, BufYAML, map[string]section{
		// Plugins and policies of buf.yaml are those of lint and breaking.
		keyVersion: ignored, keyLint: ignored, keyBreaking: ignored, keyPlugins: ignored, "policies": ignored,
		keyName: d.text(keyName, &name),
		"deps":  d.deps,
		"modules": func(value *yaml.Node) {
			d.list(value, "modules", func(element *yaml.Node) { modules = append(modules, d.module(element)) })
		},
	})
	switch {
	case len(modules) == 0:
		modules = []Module{{Dir: ".", Name: name}}
	case name != "":
		d.failf(root, "a name beside modules belongs to none of them; write it into the module that it is for")
	}
	return modules
}

// module reads an element of modules. Its paths are relative to buf.yaml in the file, and
// to the module's directory afterwards.
func (d *document) module(node *yaml.Node) Module {
	m := Module{Dir: "."}
	var includes, excludes *yaml.Node // they may stand before path
	d.mapping(node, "a module", map[string]section{
		keyLint: ignored, keyBreaking: ignored,
		keyName:    d.text(keyName, &m.Name),
		"includes": func(value *yaml.Node) { includes = value },
		"excludes": func(value *yaml.Node) { excludes = value },
		keyPath: func(value *yaml.Node) {
			if dir, ok := d.inside(value, keyPath); ok {
				m.Dir = dir
			}
		},
	})
	if includes != nil {
		d.pathsBelow("an include", m.Dir, &m.Includes)(includes)
	}
	if excludes != nil {
		d.pathsBelow("an exclude", m.Dir, &m.Excludes)(excludes)
	}
	return m
}

// protovalidate is the module whose only file is part of this command. buf needs it in deps.
const protovalidate = "buf.build/bufbuild/protovalidate"

// deps refuses modules that would have to be fetched.
func (d *document) deps(value *yaml.Node) {
	d.list(value, "deps", func(element *yaml.Node) {
		if name, _, _ := strings.Cut(element.Value, ":"); name == protovalidate {
			return
		}
		d.failf(element, "the dependency %s is not supported, as aegis fetches nothing; put its files into the workspace "+
			"(`buf export %s -o third_party`) and make that directory a module", element.Value, element.Value)
	})
}

// pathsBelow returns a section that reads paths below dir, and makes them relative to it.
func (d *document) pathsBelow(of, dir string, into *[]string) section {
	return func(value *yaml.Node) {
		d.list(value, "the list", func(element *yaml.Node) {
			whole, ok := d.inside(element, of)
			if !ok {
				return
			}
			below, ok := Below(dir, whole)
			if !ok || below == "." {
				d.failf(element, "%s has to be below the directory %s of its module; %s is not", of, dir, whole)
				return
			}
			*into = append(*into, below)
		})
	}
}

// inside reads a path that has to stay within the directory of the file.
func (d *document) inside(node *yaml.Node, of string) (string, bool) {
	var text string
	before := len(d.problems)
	d.text(of, &text)(node)
	if len(d.problems) > before {
		return "", false
	}
	clean := path.Clean(text)
	if path.IsAbs(text) || clean == ".." || strings.HasPrefix(clean, "../") {
		d.failf(node, "%s has to be a path within the directory of this file; %s is not", of, text)
		return "", false
	}
	return clean, true
}

// Below reports whether a path with slashes is dir or below it, and returns it relative to
// dir.
func Below(dir, whole string) (string, bool) {
	switch {
	case dir == ".":
		return whole, true
	case whole == dir:
		return ".", true
	case strings.HasPrefix(whole, dir+"/"):
		return whole[len(dir)+1:], true
	}
	return "", false
}
