package bufconfig

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/aegisrpc/aegis/internal/near"
)

// document is a file of YAML (or JSON, which is YAML) that is read node by node, so that
// each problem has its position.
type document struct {
	name     string
	problems []Problem
}

// The keys that more than one mapping has.
const (
	keyVersion  = "version"
	keyName     = "name"
	keyPath     = "path"
	keyPlugins  = "plugins"
	keyLint     = "lint"
	keyBreaking = "breaking"
	keyTypes    = "types"
)

// section reads the value of one key.
type section func(value *yaml.Node)

// yamlLine finds the line in an error of the YAML library.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?:\w+ error: )?(.*)$`)

// parse returns the root of the file; nil if there is none, which is a problem.
func (d *document) parse(data []byte) *yaml.Node {
	var node yaml.Node
	if err := yaml.Unmarshal(data, &node); err != nil {
		problem := Problem{File: d.name, Text: "no YAML: " + err.Error()}
		if m := yamlLine.FindStringSubmatch(strings.SplitN(err.Error(), "\n", 2)[0]); m != nil {
			problem.Text = "no YAML: " + m[2]
			if line, err := strconv.Atoi(m[1]); err == nil {
				problem.Line, problem.Column = line, 1
			}
		}
		d.problems = append(d.problems, problem)
		return nil
	}
	if node.Kind == 0 || len(node.Content) == 0 || isNull(node.Content[0]) {
		d.problems = append(d.problems, Problem{File: d.name, Text: "the file is empty"})
		return nil
	}
	return node.Content[0]
}

// failf notes a problem at a node.
func (d *document) failf(at *yaml.Node, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: d.name, Line: at.Line, Column: at.Column, Text: fmt.Sprintf(format, args...)})
}

// mapping reads each key of a mapping with its section. Keys that have none are problems.
func (d *document) mapping(node *yaml.Node, of string, sections map[string]section) {
	node = follow(node)
	if isNull(node) {
		return
	}
	if node.Kind != yaml.MappingNode {
		d.failf(node, "%s has to be a mapping of keys to values", of)
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], follow(node.Content[i+1])
		if seen[key.Value] {
			d.failf(key, "%s has the key %s twice", of, key.Value)
			continue
		}
		seen[key.Value] = true
		if read, ok := sections[key.Value]; ok {
			read(value)
			continue
		}
		d.unknown(key, of, sections)
	}
}

func (d *document) unknown(key *yaml.Node, of string, sections map[string]section) {
	var names []string
	for name := range sections {
		names = append(names, name)
	}
	slices.Sort(names)
	if near := near.Name(key.Value, names); near != "" {
		d.failf(key, "%s has no key %s; did you mean %s?", of, key.Value, near)
		return
	}
	d.failf(key, "%s has no key %s; its keys are %s", of, key.Value, strings.Join(names, ", "))
}

// list reads each element of a sequence.
func (d *document) list(node *yaml.Node, of string, read section) {
	node = follow(node)
	if isNull(node) {
		return
	}
	if node.Kind != yaml.SequenceNode {
		d.failf(node, "%s has to be a list", of)
		return
	}
	for _, element := range node.Content {
		read(follow(element))
	}
}

// text returns a section that reads a string.
func (d *document) text(of string, into *string) section {
	return func(value *yaml.Node) {
		if value.Kind != yaml.ScalarNode || value.Tag != "!!str" && !isNull(value) {
			d.failf(value, "%s has to be a string", of)
			return
		}
		*into = value.Value
		if isNull(value) {
			*into = ""
		}
	}
}

// texts returns a section that reads a list of strings.
func (d *document) texts(of string, into *[]string) section {
	return func(value *yaml.Node) {
		d.list(value, of, func(element *yaml.Node) {
			var one string
			d.text("an element of "+of, &one)(element)
			*into = append(*into, one)
		})
	}
}

// textOrTexts returns a section that reads a string or a list of strings.
func (d *document) textOrTexts(of string, into *[]string) section {
	return func(value *yaml.Node) {
		switch value.Kind {
		case yaml.ScalarNode:
		case yaml.SequenceNode:
			d.texts(of, into)(value)
			return
		default:
			d.failf(value, "%s has to be a string or a list of strings", of)
			return
		}
		var one string
		d.text(of, &one)(value)
		if !isNull(value) {
			*into = []string{one}
		}
	}
}

// flag returns a section that reads true or false.
func (d *document) flag(of string, into *bool) section {
	return func(value *yaml.Node) {
		if isNull(value) {
			return
		}
		if value.Kind != yaml.ScalarNode || value.Tag != "!!bool" || value.Decode(into) != nil {
			d.failf(value, "%s has to be true or false", of)
		}
	}
}

// refused returns a section that notes a key that is not supported, with the way out.
func (d *document) refused(key, instead string) section {
	return func(value *yaml.Node) {
		if isNull(value) {
			return
		}
		d.failf(value, "%s is not supported; %s", key, instead)
	}
}

// ignored reads a section that concerns other commands.
func ignored(*yaml.Node) {}

// version looks up the version of a file. It is a problem if the file has none.
func (d *document) version(root *yaml.Node, supported ...string) string {
	version := ""
	root = follow(root)
	if root.Kind != yaml.MappingNode {
		d.failf(root, "the file has to be a mapping of keys to values")
		return ""
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != keyVersion {
			continue
		}
		version = root.Content[i+1].Value
		if !slices.Contains(supported, version) {
			d.failf(root.Content[i+1], "version %s is not supported; write version: v2 (`buf config migrate` does it)", version)
			return ""
		}
	}
	if version == "" {
		d.failf(root, "version is missing; write version: v2")
	}
	return version
}

func follow(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.Tag == "!!null"
}
