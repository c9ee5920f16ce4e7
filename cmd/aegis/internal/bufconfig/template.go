package bufconfig

import (
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Generation is the content of a buf.gen.yaml.
type Generation struct {
	Inputs  []Input
	Plugins []Plugin
	Managed Managed
	Clean   bool
}

// Input is a directory whose .proto files code is generated for. Its paths are those of
// the operating system, relative to the working directory.
type Input struct {
	Dir          string
	Paths        []string // only files in these; empty: all
	ExcludePaths []string
}

// Plugin is a run of a plugin.
type Plugin struct {
	Command        []string // as the file has it
	Known          Known    // the plugin that the command runs
	Pin            Pin      // the version that the command asks for
	Out            string
	Opt            []string
	All            bool // one run for all directories, in place of one for each
	IncludeImports bool
	IncludeWKT     bool
}

// ReadTemplate reads a buf.gen.yaml; name is the file's name in problems. The error is a
// *ProblemsError that has all mistakes, and all that is not supported.
func ReadTemplate(name string, data []byte) (*Generation, error) {
	d := &document{name: name}
	root := d.parse(data)
	if root == nil {
		return nil, d.err()
	}
	g := &Generation{}
	switch d.version(root, "v1", "v2") {
	case "v1":
		d.templateV1(root, g)
	case "v2":
		d.templateV2(root, g)
	}
	if len(d.problems) == 0 && len(g.Plugins) == 0 {
		d.failf(root, "plugins is missing or empty")
	}
	return g, d.err()
}

func (d *document) templateV2(root *yaml.Node, g *Generation) {
	d.mapping(root, Template, map[string]section{
		keyVersion: ignored,
		"clean":    d.flag("clean", &g.Clean),
		"managed":  func(value *yaml.Node) { d.managed(value, &g.Managed) },
		keyPlugins: func(value *yaml.Node) {
			d.list(value, keyPlugins, func(element *yaml.Node) { g.Plugins = append(g.Plugins, d.pluginV2(element)) })
		},
		"inputs": func(value *yaml.Node) {
			d.list(value, "inputs", func(element *yaml.Node) { g.Inputs = append(g.Inputs, d.input(element)) })
		},
	})
}

func (d *document) pluginV2(node *yaml.Node) Plugin {
	const types = "generate the whole files"
	var p Plugin
	local := node
	d.mapping(node, "a plugin", d.pluginKeys(&p, map[string]section{
		"local": func(value *yaml.Node) {
			local = value
			d.textOrTexts("local", &p.Command)(value)
		},
		"remote":          d.refused("a remote plugin", onlyKnown),
		"protoc_builtin":  d.refused("a plugin of protoc", onlyKnown),
		"protoc_path":     d.refused("protoc_path", "aegis runs no protoc"),
		"revision":        d.refused("revision", "it is for remote plugins"),
		"include_imports": d.flag("include_imports", &p.IncludeImports),
		"include_wkt":     d.flag("include_wkt", &p.IncludeWKT),
		keyTypes:          d.refused("a list of types", types),
		"exclude_types":   d.refused("a list of exclude_types", types),
	}))
	if p.IncludeWKT && !p.IncludeImports {
		d.failf(node, "include_wkt: true needs include_imports: true beside it")
	}
	d.identify(node, local, &p, has(node, "remote") || has(node, "protoc_builtin"))
	return p
}

func (d *document) templateV1(root *yaml.Node, g *Generation) {
	d.mapping(root, Template, map[string]section{
		keyVersion: ignored,
		keyTypes:   d.refused(keyTypes, "generate the whole files"),
		"managed":  d.refused("managed mode of version v1", "write version: v2 (`buf config migrate` does it)"),
		keyPlugins: func(value *yaml.Node) {
			d.list(value, keyPlugins, func(element *yaml.Node) { g.Plugins = append(g.Plugins, d.pluginV1(element)) })
		},
	})
}

func (d *document) pluginV1(node *yaml.Node) Plugin {
	var p Plugin
	var name string
	var path []string
	at := node
	named := func(value *yaml.Node) {
		if name != "" {
			d.failf(value, "only one of plugin and name can be given")
		}
		at = value
		d.text("the name of a plugin", &name)(value)
	}
	d.mapping(node, "a plugin", d.pluginKeys(&p, map[string]section{
		"plugin": named,
		keyName:  named,
		keyPath: func(value *yaml.Node) {
			at = value
			d.textOrTexts(keyPath, &path)(value)
		},
		"protoc_path": d.refused("protoc_path", "aegis runs no protoc"),
		"revision":    d.refused("revision", "it is for remote plugins"),
	}))
	remote := strings.Contains(name, "/")
	switch {
	case remote:
		d.failf(at, "a remote plugin is not supported; %s", onlyKnown)
	case len(path) > 0:
		p.Command = path
	case name != "":
		p.Command = []string{"protoc-gen-" + name}
	}
	d.identify(node, at, &p, remote)
	return p
}

// pluginKeys adds the keys that plugins of both versions have.
func (d *document) pluginKeys(p *Plugin, keys map[string]section) map[string]section {
	keys["opt"] = d.textOrTexts("opt", &p.Opt)
	keys["out"] = func(value *yaml.Node) {
		d.text("out", &p.Out)(value)
		if ext := filepath.Ext(p.Out); ext == ".jar" || ext == ".zip" {
			d.failf(value, "an archive (%s) as out is not supported; name a directory", p.Out)
		}
	}
	keys["strategy"] = func(value *yaml.Node) {
		var strategy string
		d.text("strategy", &strategy)(value)
		switch strategy {
		case "", "directory":
		case "all":
			p.All = true
		default:
			d.failf(value, "strategy has to be directory or all, not %s", strategy)
		}
	}
	return keys
}

// identify checks a plugin as a whole, and finds out which one its command runs: at is the
// position of the command, told whether the lack of one has been told.
func (d *document) identify(node, at *yaml.Node, p *Plugin, told bool) {
	if p.Out == "" {
		d.failf(node, "out is missing: the directory to write to, such as out: gen")
	}
	switch {
	case len(p.Command) == 0 && told:
	case len(p.Command) == 0:
		d.failf(at, "a plugin has to say which one it is, such as local: protoc-gen-aegis")
	default:
		if p.Known, p.Pin = identify(p.Command); p.Known == "" {
			d.failf(at, "the plugin %q is not supported; %s", strings.Join(p.Command, " "), onlyKnown)
		}
	}
}

func (d *document) input(node *yaml.Node) Input {
	in := Input{}
	given := false
	const fetch = "aegis reads directories alone: `buf export` writes one from it"
	keys := map[string]section{
		"directory": func(value *yaml.Node) {
			given = true
			d.text("directory", &in.Dir)(value)
			if in.Dir == "" {
				in.Dir = "."
			}
		},
		"paths":         d.texts("paths", &in.Paths),
		"exclude_paths": d.texts("exclude_paths", &in.ExcludePaths),
		keyTypes:        d.refused(keyTypes, "name the files that are wanted in paths"),
		"exclude_types": d.refused("exclude_types", "name the files that are not wanted in exclude_paths"),
	}
	for _, kind := range []string{"module", "proto_file", "tarball", "zip_archive", "binary_image", "json_image", "text_image", "yaml_image", "git_repo"} {
		refuse := d.refused("the input "+kind, fetch)
		keys[kind] = func(value *yaml.Node) {
			given = true
			refuse(value)
		}
	}
	for _, key := range []string{
		"compression", "strip_components", "subdir", "branch", "commit", "tag", "ref", "depth", "recurse_submodules", "include_package_files",
	} {
		keys[key] = d.refused(key, "it is for inputs that are no directories")
	}
	d.mapping(node, "an input", keys)
	if !given {
		d.failf(node, "an input has to say which directory it is, such as directory: proto")
	}
	return in
}

func has(node *yaml.Node, key string) bool {
	if node.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return true
		}
	}
	return false
}
