package bufconfig

import (
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Managed is the section managed of a buf.gen.yaml: rules that change the options of files
// before code is generated.
type Managed struct {
	Enabled  bool
	Disable  []Rule
	Override []Rule
}

// Rule is an element of disable or override. Its empty fields match everything.
type Rule struct {
	FileOption string // such as go_package_prefix
	Module     string
	Path       string // a file or directory, as imports name it
	Value      any    // of an override: string or bool
}

// fileOptions are the options that managed mode knows, with whether their value is a bool.
var fileOptions = map[string]bool{
	"java_package": false, "java_package_prefix": false, "java_package_suffix": false,
	"java_outer_classname": false, "java_multiple_files": true, "java_string_check_utf8": true,
	"optimize_for": false,
	"go_package":   false, "go_package_prefix": false,
	"cc_enable_arenas":  true,
	"objc_class_prefix": false,
	"csharp_namespace":  false, "csharp_namespace_prefix": false,
	"php_namespace": false, "php_metadata_namespace": false, "php_metadata_namespace_suffix": false,
	"ruby_package": false, "ruby_package_suffix": false,
	"swift_prefix": false,
}

// optimizeModes are the values of optimize_for.
var optimizeModes = []string{"SPEED", "CODE_SIZE", "LITE_RUNTIME"}

func (d *document) managed(node *yaml.Node, m *Managed) {
	d.mapping(node, "managed", map[string]section{
		"enabled": d.flag("enabled", &m.Enabled),
		"disable": func(value *yaml.Node) {
			d.list(value, "disable", func(element *yaml.Node) {
				rule := d.rule(element, "a rule of disable", nil)
				if rule == (Rule{}) {
					d.failf(element, "a rule of disable has to name a file_option, module or path")
				}
				m.Disable = append(m.Disable, rule)
			})
		},
		"override": func(value *yaml.Node) {
			d.list(value, "override", func(element *yaml.Node) { m.Override = append(m.Override, d.override(element)) })
		},
	})
}

// rule reads an element of disable, or with value that of override.
func (d *document) rule(node *yaml.Node, of string, value section) Rule {
	const field = "aegis changes options of files alone"
	var r Rule
	keys := map[string]section{
		"file_option": func(value *yaml.Node) {
			d.text("file_option", &r.FileOption)(value)
			r.FileOption = strings.ToLower(strings.TrimSpace(r.FileOption))
			if _, ok := fileOptions[r.FileOption]; !ok {
				d.failf(value, "there is no file_option %q; there are %s", r.FileOption,
					strings.Join(slices.Sorted(maps.Keys(fileOptions)), ", "))
			}
		},
		"module": d.text("module", &r.Module),
		keyPath: func(value *yaml.Node) {
			d.text(keyPath, &r.Path)(value)
			if r.Path != "" && (path.IsAbs(r.Path) || path.Clean(r.Path) != strings.TrimSuffix(r.Path, "/") || strings.HasPrefix(r.Path, "../")) {
				d.failf(value, "path has to be that of an import, such as shop/v1; %q is not", r.Path)
			}
			r.Path = strings.TrimSuffix(r.Path, "/")
		},
		"field_option": d.refused("field_option", field),
		"field":        d.refused("field", field),
	}
	if value != nil {
		keys["value"] = value
	}
	d.mapping(node, of, keys)
	return r
}

func (d *document) override(node *yaml.Node) Rule {
	value := node
	r := d.rule(node, "a rule of override", func(v *yaml.Node) { value = v })
	isBool, known := fileOptions[r.FileOption]
	switch {
	case r.FileOption == "" && has(node, "field_option"):
	case r.FileOption == "":
		d.failf(node, "a rule of override has to name a file_option")
	case !known:
	case value == node || isNull(value):
		d.failf(node, "the override of %s has no value", r.FileOption)
	case isBool:
		var b bool
		d.flag("the value of "+r.FileOption, &b)(value)
		r.Value = b
	default:
		var s string
		d.text("the value of "+r.FileOption, &s)(value)
		if r.FileOption == "optimize_for" && !slices.Contains(optimizeModes, s) {
			d.failf(value, "optimize_for has to be one of %s", strings.Join(optimizeModes, ", "))
		}
		r.Value = s
	}
	return r
}
