package bufconfig

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTemplateIsRead(t *testing.T) {
	t.Parallel()
	g, err := ReadTemplate("buf.gen.yaml", []byte(`version: v2
clean: true
inputs: [{directory: ., exclude_paths: [proto/aegis]}, {directory: other, paths: [other/a]}]
managed: {enabled: true, override: [{file_option: go_package_prefix, value: example.com/gen}], disable: [{path: aegis/}]}
plugins:
  - local: [go, tool, -modfile=tools.mod, protoc-gen-go]
    out: gen
    opt: [paths=source_relative, Ma.proto=b]
    include_imports: true
    include_wkt: true
  - {local: protoc-gen-aegis, out: gen2, opt: paths=source_relative, strategy: all}
`))
	require.NoError(t, err)
	assert.Equal(t, &Generation{
		Clean:   true,
		Inputs:  []Input{{Dir: ".", ExcludePaths: []string{"proto/aegis"}}, {Dir: "other", Paths: []string{"other/a"}}},
		Managed: Managed{Enabled: true, Override: []Rule{{FileOption: "go_package_prefix", Value: "example.com/gen"}}, Disable: []Rule{{Path: "aegis"}}},
		Plugins: []Plugin{
			{
				Command: []string{"go", "tool", "-modfile=tools.mod", "protoc-gen-go"}, Known: Go, Pin: Pin{Modfile: "tools.mod", Go: true},
				Out: "gen", Opt: []string{"paths=source_relative", "Ma.proto=b"}, IncludeImports: true, IncludeWKT: true,
			},
			{Command: []string{"protoc-gen-aegis"}, Known: Aegis, Out: "gen2", Opt: []string{"paths=source_relative"}, All: true},
		},
	}, g)
}

func TestTemplateOfVersion1IsRead(t *testing.T) {
	t.Parallel()
	g, err := ReadTemplate("buf.gen.yaml", []byte(`{"version": "v1", "plugins": [{"plugin": "go", "out": "a"}, {"name": "x", "path": "bin/protoc-gen-aegis", "out": "b"}]}`))
	require.NoError(t, err)
	assert.Equal(t, []Plugin{
		{Command: []string{"protoc-gen-go"}, Known: Go, Out: "a"},
		{Command: []string{"bin/protoc-gen-aegis"}, Known: Aegis, Out: "b"},
	}, g.Plugins)
}

// All that is wrong or not supported is told at once, with its line.
func TestAllProblemsOfATemplateAreToldWithTheirLines(t *testing.T) {
	t.Parallel()
	_, err := ReadTemplate("buf.gen.yaml", []byte(`version: v2
clean: perhaps
managed:
  enabled: true
  disable: [{}]
  override:
    - {file_option: go_pakage, value: x}
    - {file_option: optimize_for, value: FAST}
    - {file_option: java_multiple_files, value: "yes"}
    - {file_option: go_package}
    - {field_option: jstype, value: JS_STRING}
    - {path: ../up, file_option: go_package, value: x}
plugins:
  - remote: buf.build/protocolbuffers/go
    out: gen
  - local: protoc-gen-connect-go
    out: gen
  - protoc_builtin: java
    out: gen.jar
  - local: protoc-gen-go
    strategy: some
    include_wkt: true
    types: [a.B]
  - {out: gen, opt: {a: b}, outs: x}
inputs:
  - module: buf.build/acme/shop
  - git_repo: https://example.com/x.git
    branch: main
  - paths: [a]
colour: red
plugin: x
`))
	require.Error(t, err)
	assert.Equal(t, `buf.gen.yaml:2:8: clean has to be true or false
buf.gen.yaml:5:13: a rule of disable has to name a file_option, module or path
buf.gen.yaml:7:21: there is no file_option "go_pakage"; there are cc_enable_arenas, csharp_namespace, csharp_namespace_prefix, go_package, go_package_prefix, java_multiple_files, java_outer_classname, java_package, java_package_prefix, java_package_suffix, java_string_check_utf8, objc_class_prefix, optimize_for, php_metadata_namespace, php_metadata_namespace_suffix, php_namespace, ruby_package, ruby_package_suffix, swift_prefix
buf.gen.yaml:8:42: optimize_for has to be one of SPEED, CODE_SIZE, LITE_RUNTIME
buf.gen.yaml:9:49: the value of java_multiple_files has to be true or false
buf.gen.yaml:10:7: the override of go_package has no value
buf.gen.yaml:11:22: field_option is not supported; aegis changes options of files alone
buf.gen.yaml:12:14: path has to be that of an import, such as shop/v1; "../up" is not
buf.gen.yaml:14:13: a remote plugin is not supported; `+onlyKnown+`
buf.gen.yaml:16:12: the plugin "protoc-gen-connect-go" is not supported; `+onlyKnown+`
buf.gen.yaml:18:21: a plugin of protoc is not supported; `+onlyKnown+`
buf.gen.yaml:19:10: an archive (gen.jar) as out is not supported; name a directory
buf.gen.yaml:20:5: include_wkt: true needs include_imports: true beside it
buf.gen.yaml:20:5: out is missing: the directory to write to, such as out: gen
buf.gen.yaml:21:15: strategy has to be directory or all, not some
buf.gen.yaml:23:12: a list of types is not supported; generate the whole files
buf.gen.yaml:24:5: a plugin has to say which one it is, such as local: protoc-gen-aegis
buf.gen.yaml:24:21: opt has to be a string or a list of strings
buf.gen.yaml:24:29: a plugin has no key outs; did you mean out?
buf.gen.yaml:26:13: the input module is not supported; aegis reads directories alone: `+"`buf export`"+` writes one from it
buf.gen.yaml:27:15: the input git_repo is not supported; aegis reads directories alone: `+"`buf export`"+` writes one from it
buf.gen.yaml:28:13: branch is not supported; it is for inputs that are no directories
buf.gen.yaml:29:5: an input has to say which directory it is, such as directory: proto
buf.gen.yaml:30:1: buf.gen.yaml has no key colour; its keys are clean, inputs, managed, plugins, version
buf.gen.yaml:31:1: buf.gen.yaml has no key plugin; did you mean plugins?`, err.Error())
}

func TestTemplatesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                    "t.yaml: the file is empty",
		"# nothing\n":                         "t.yaml: the file is empty",
		"[a]":                                 "t.yaml:1:1: the file has to be a mapping of keys to values",
		"plugins: []":                         "t.yaml:1:1: version is missing; write version: v2",
		"version: v1beta1":                    "t.yaml:1:10: version v1beta1 is not supported; write version: v2 (`buf config migrate` does it)",
		"version: v2\n":                       "t.yaml:1:1: plugins is missing or empty",
		"version: v2\nversion: v2":            "t.yaml:2:1: buf.gen.yaml has the key version twice",
		"version: v2\nplugins:\n\t- local: x": "t.yaml:3:1: no YAML: found character that cannot start any token",
		"version: v1\ntypes: {include: [a]}\nmanaged: {enabled: true}\nplugins: [{plugin: buf.build/x/y, out: a}]": "t.yaml:2:8: types is not supported; generate the whole files\n" +
			"t.yaml:3:10: managed mode of version v1 is not supported; write version: v2 (`buf config migrate` does it)\n" +
			"t.yaml:4:20: a remote plugin is not supported; " + onlyKnown,
	} {
		_, err := ReadTemplate("t.yaml", []byte(text))
		assert.EqualError(t, err, want, text)
	}
}

func TestPluginsAreKnownHoweverTheyAreCalled(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		command []string
		known   Known
		pin     Pin
	}{
		{[]string{"protoc-gen-go"}, Go, Pin{}},
		{[]string{"bin/protoc-gen-go"}, Go, Pin{}},
		{[]string{`C:\bin\protoc-gen-aegis.exe`}, Aegis, Pin{}},
		{[]string{"go", "tool", "protoc-gen-go"}, Go, Pin{Go: true}},
		{[]string{"go", "tool", "-modfile=tools.mod", "protoc-gen-aegis"}, Aegis, Pin{Modfile: "tools.mod", Go: true}},
		{[]string{"go", "tool", "-modfile", "tools.mod", "google.golang.org/protobuf/cmd/protoc-gen-go"}, Go, Pin{Modfile: "tools.mod", Go: true}},
		{[]string{"go", "run", "./cmd/protoc-gen-aegis"}, Aegis, Pin{Go: true}},
		{[]string{"go", "run", "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.5"}, Go, Pin{Version: "v1.36.5", Go: true}},
		{[]string{"go", "run", "github.com/aegisrpc/aegis/cmd/protoc-gen-aegis@latest"}, Aegis, Pin{Version: "latest", Go: true}},

		{[]string{"go", "run", "github.com/golang/protobuf/protoc-gen-go"}, "", Pin{}},
		{[]string{"go", "run", "./cmd/protoc-gen-aegis", "--flag"}, "", Pin{}},
		{[]string{"go", "build", "protoc-gen-go"}, "", Pin{}},
		{[]string{"go", "tool"}, "", Pin{}},
		{[]string{"sh", "protoc-gen-go"}, "", Pin{}},
		{[]string{"protoc-gen-go-grpc"}, "", Pin{}},
		{[]string{"go"}, "", Pin{}},
	} {
		known, pin := identify(test.command)
		assert.Equal(t, test.known, known, test.command)
		if known != "" {
			assert.Equal(t, test.pin, pin, test.command)
		}
	}
}
