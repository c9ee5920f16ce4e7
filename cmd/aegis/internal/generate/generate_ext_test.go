package generate_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hello is a project as the README has it, without Aegis's .proto files beside it.
func hello(t *testing.T) string {
	t.Helper()
	return project(t, map[string]string{
		"buf.yaml": "version: v2\nmodules: [{path: proto}]\nlint: {ignore: [proto/aegis]}\n",
		"buf.gen.yaml": `version: v2
inputs: [{directory: ., exclude_paths: [proto/aegis]}]
managed: {enabled: true, override: [{file_option: go_package_prefix, value: example.com/hello/gen}]}
plugins:
  - local: [go, tool, -modfile=tools.mod, protoc-gen-go]
    out: gen
    opt: [paths=source_relative]
  - local: [go, tool, -modfile=tools.mod, protoc-gen-aegis]
    out: gen
    opt: [paths=source_relative]
    strategy: all
`,
		"proto/hello/v1/hello.proto": `syntax = "proto3";
package hello.v1;
import "aegis/v1/options.proto";
import "google/protobuf/duration.proto";
service HelloService {
  rpc Hello(HelloRequest) returns (HelloResponse) {
    option (aegis.v1.method) = {timeout: {seconds: 2}};
  }
}
message HelloRequest { string name = 1; }
message HelloResponse { google.protobuf.Duration took = 1; }
`,
	})
}

func TestAegissOwnProtosAndWellKnownTypesNeedNotBeThere(t *testing.T) {
	t.Parallel()
	dir := hello(t)
	r := run(t, dir, "generate")
	require.Zero(t, r.Code, r.Err)
	assert.Regexp(t, `^2 files written, 0 unchanged, in `, r.Out)
	assert.Empty(t, r.Err)
	gen := files(t, filepath.Join(dir, "gen"))
	assert.Contains(t, gen["hello/v1/hello.pb.go"], "package hellov1\n")
	assert.Contains(t, gen["hello/v1/hellov1aegis/hello.aegis.go"], `"example.com/hello/gen/hello/v1"`)
	assert.Len(t, gen, 2)
}

func TestUnchangedFilesAreNotTouched(t *testing.T) {
	t.Parallel()
	dir := hello(t)
	require.Zero(t, run(t, dir, "generate").Code)
	file := filepath.Join(dir, "gen/hello/v1/hello.pb.go")
	before, err := os.Stat(file)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "gen/hello/v1/hellov1aegis/hello.aegis.go")))
	r := run(t, dir, "generate")
	assert.Regexp(t, `^1 files written, 1 unchanged, in `, r.Out)
	after, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, before.ModTime(), after.ModTime())
}

// cycle matches the line about an import that leads back, which the compiler tells at any
// one of the imports.
var cycle = regexp.MustCompile(`(?m)^p/(?:a|b/b)\.proto:3:1: detected cyclic import while importing "(?:a|b/b)\.proto"\n`)

// All mistakes of all files are told at once, and nothing is written.
func TestMistakesInFilesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{
		"buf.yaml":     "version: v2\nmodules: [{path: p}]\n",
		"buf.gen.yaml": "version: v2\nplugins: [{local: protoc-gen-go, out: gen}]\n",
		"p/good.proto": "syntax = \"proto3\";\noption go_package = \"example.com/good\";\n",
		"p/a.proto":    "syntax = \"proto3\";\npackage a;\nimport \"b/b.proto\";\nimport \"nowhere.proto\";\nmessage A { X x = 1; string s = 1; }\nmessage C { string s = 1 }\n",
		"p/b/b.proto":  "syntax = \"proto3\";\npackage b;\nimport \"a.proto\";\nmessage B { map<float, string> m = 1; }\n",
		"p/new.proto":  "edition = \"2024\";\nimport weak \"b/b.proto\";\n",
	})
	r := run(t, dir, "generate")
	assert.Equal(t, 1, r.Code)
	assert.Equal(t, `aegis: nothing is generated, because of 7 mistakes in the .proto files:
p/a.proto:4:1: the imported file nowhere.proto does not exist in the modules of the workspace
p/a.proto:5:13: cannot find `+"`X`"+` in this scope
p/a.proto:5:33: field number `+"`1`"+` used more than once
p/a.proto:6:26: unexpected `+"`}`"+` after definition
p/b/b.proto:4:17: expected map key type, found scalar type `+"`float`"+`
p/new.proto:2:8: `+"`import weak`"+` is not supported in Edition 2024
`, cycle.ReplaceAllString(r.Err, ""))
	assert.Len(t, cycle.FindAllString(r.Err, -1), 1)
	assert.Empty(t, r.Out)
	assert.NoDirExists(t, filepath.Join(dir, "gen"))
}

func TestAllProblemsOfTheTemplateAreTold(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{
		"buf.gen.yaml": "version: v2\nplugins:\n  - {remote: buf.build/protocolbuffers/go, out: gen}\n  - {local: protoc-gen-es, out: gen}\n",
		"a.proto":      "no proto",
	})
	r := run(t, dir, "generate")
	assert.Equal(t, 1, r.Code)
	assert.Regexp(t, `^aegis: nothing is generated, because of 2 problems in the configuration:
buf.gen.yaml:3:14: a remote plugin is not supported; .*
buf.gen.yaml:4:13: the plugin "protoc-gen-es" is not supported; .*
$`, r.Err)
}

func TestFilesThatCannotBeGeneratedAreRefused(t *testing.T) {
	t.Parallel()
	const both = "version: v2\nplugins: [{local: protoc-gen-go, out: gen}, {local: protoc-gen-aegis, out: gen}]\n"
	for name, test := range map[string]struct {
		files map[string]string
		args  []string
		code  int
		want  string
	}{
		"no go_package": {
			files: map[string]string{"buf.gen.yaml": both, "a.proto": "syntax = \"proto3\";\npackage a;\nmessage A {}\nservice S { rpc X(A) returns (A); }\n"},
			want: "aegis: protoc-gen-go refuses the files, nothing is written:\nunable to determine Go import path for \"a.proto\"\n*" +
				"protoc-gen-aegis refuses the files, nothing is written:\na.proto:2:1: go_package is missing; *",
		},
		"outside of out": {
			files: map[string]string{"buf.gen.yaml": "version: v2\nplugins: [{local: protoc-gen-go, out: gen}]\n", "a.proto": "syntax = \"proto3\";\noption go_package = \"../../x\";\n"},
			want:  "aegis: protoc-gen-go: the generated file \"../../x/a.pb.go\" would be outside of its directory gen; *",
		},
		"twice by one plugin": {
			files: map[string]string{
				"buf.gen.yaml": "version: v2\nplugins: [{local: protoc-gen-go, out: gen}]\n",
				"a/x.proto":    "syntax = \"proto3\";\npackage a;\noption go_package = \"x.y/z\";\n", "b/x.proto": "syntax = \"proto3\";\npackage b;\noption go_package = \"x.y/z\";\n",
			},
			want: "aegis: protoc-gen-go generates the file gen/x.y/z/x.pb.go twice, *",
		},
		"twice by two": {
			files: map[string]string{
				"buf.gen.yaml": "version: v2\nplugins: [{local: protoc-gen-go, out: gen}, {local: [go, run, ./protoc-gen-go], out: ./gen/}]\n",
				"a.proto":      "syntax = \"proto3\";\noption go_package = \"x.y/z\";\n",
			},
			want: "aegis: the file gen/x.y/z/a.pb.go is generated twice: by protoc-gen-go and by protoc-gen-go; *",
		},
		"unknown parameter": {
			files: map[string]string{"buf.gen.yaml": "version: v2\nplugins: [{local: protoc-gen-go, out: gen, opt: colour=red}]\n", "a.proto": "syntax = \"proto3\";\n"},
			want:  "aegis: protoc-gen-go refuses the files, nothing is written:\n*colour*",
		},
		"clean here": {
			files: map[string]string{"buf.gen.yaml": "version: v2\nclean: true\nplugins: [{local: protoc-gen-go, out: .}]\n", "a.proto": "syntax = \"proto3\";\noption go_package = \"x.y/z\";\n"},
			want:  "aegis: clean would delete everything in *",
		},
		"clean above": {
			files: map[string]string{"buf.gen.yaml": "version: v2\nplugins: [{local: protoc-gen-go, out: ..}]\n", "a.proto": "syntax = \"proto3\";\noption go_package = \"x.y/z\";\n"},
			args:  []string{"--clean"},
			want:  "aegis: clean would delete everything in *",
		},
		"no files":     {files: map[string]string{"buf.gen.yaml": both}, want: "aegis: no .proto file is selected: *"},
		"no template":  {files: map[string]string{"a.proto": ""}, want: "aegis: there is no buf.gen.yaml here; *"},
		"wkt alone":    {files: map[string]string{"buf.gen.yaml": both}, args: []string{"--include-wkt"}, code: 2, want: "aegis: --include-wkt needs --include-imports beside it\n"},
		"two inputs":   {files: map[string]string{"buf.gen.yaml": both}, args: []string{"a", "b"}, code: 2, want: "aegis: aegis generate takes [INPUT], and 2 arguments are given; *"},
		"bad yaml":     {files: map[string]string{"buf.gen.yaml": "version: v2\nplugins: [\n"}, want: "aegis: nothing is generated, because of 1 problem in the configuration:\nbuf.gen.yaml:*: no YAML: *"},
		"bad buf.yaml": {files: map[string]string{"buf.gen.yaml": both, "buf.yaml": "version: v2\ndeps: [buf.build/a/b]\n"}, want: "aegis: nothing is generated, because of 1 problem in the configuration:\nbuf.yaml:2:8: the dependency buf.build/a/b is not supported, *"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := project(t, test.files)
			r := run(t, dir, append([]string{"generate"}, test.args...)...)
			assert.Equal(t, max(test.code, 1), r.Code)
			assert.Empty(t, r.Out)
			rest := r.Err
			for i, part := range strings.Split(test.want, "*") {
				at := strings.Index(rest, part)
				if at < 0 || i == 0 && at > 0 {
					t.Fatalf("%q is not like %q", r.Err, test.want)
				}
				rest = rest[at+len(part):]
			}
			for name := range files(t, dir) {
				assert.Contains(t, test.files, name, "written in spite of the error")
			}
		})
	}
}

func TestCleanDeletesWhatIsNotGenerated(t *testing.T) {
	t.Parallel()
	dir := hello(t)
	write(t, filepath.Join(dir, "gen/old/v1/old.pb.go"), "old")
	write(t, filepath.Join(dir, "gen/hello/v1/old.txt"), "old")
	write(t, filepath.Join(dir, "other/kept.txt"), "kept")
	r := run(t, dir, "generate")
	require.Zero(t, r.Code, r.Err)
	assert.FileExists(t, filepath.Join(dir, "gen/old/v1/old.pb.go"))
	r = run(t, dir, "generate", "--clean")
	assert.Regexp(t, `^0 files written, 2 unchanged, 2 deleted, in `, r.Out)
	assert.Len(t, files(t, filepath.Join(dir, "gen")), 2)
	assert.NoDirExists(t, filepath.Join(dir, "gen/old"))
	assert.FileExists(t, filepath.Join(dir, "other/kept.txt"))
}

// An out that leads elsewhere is taken as it is, as buf does.
func TestOutMayLeadElsewhere(t *testing.T) {
	t.Parallel()
	dir := hello(t)
	template := `{version: v2, plugins: [{local: protoc-gen-go, out: ../gen, opt: [paths=source_relative, Mhello/v1/hello.proto=x.y/z]}]}`
	r := run(t, dir, "generate", "--template", template, "--output", "below", "--path", "proto/hello/v1/hello.proto", "proto")
	require.Zero(t, r.Code, r.Err)
	assert.FileExists(t, filepath.Join(dir, "gen/hello/v1/hello.pb.go"))
}

// Another version of protoc-gen-go would give other code: a note says so.
func TestAnotherVersionOfThePluginIsNoted(t *testing.T) {
	t.Parallel()
	dir := hello(t)
	write(t, filepath.Join(dir, "tools.mod"), "module tools\n\nrequire (\n\tgoogle.golang.org/protobuf v1.31.0 // indirect\n)\n")
	r := run(t, dir, "generate")
	require.Zero(t, r.Code, r.Err)
	assert.Regexp(t, `^aegis: tools.mod has protoc-gen-go v1.31.0, and this command has v1\.\d+\.\d+ in itself, with which the code was generated\n$`, r.Err)
}

func TestRulesOfManagedModeThatIsOffAreNoted(t *testing.T) {
	t.Parallel()
	dir := hello(t)
	r := run(t, dir, "generate", "--template",
		"{version: v2, managed: {override: [{file_option: go_package, value: x.y/z}]}, plugins: [{local: protoc-gen-go, out: gen, opt: Mhello/v1/hello.proto=a.b/c}]}")
	require.Zero(t, r.Code, r.Err)
	assert.Equal(t, "aegis: managed has rules that do nothing, as it is not enabled; write enabled: true\n", r.Err)
	assert.FileExists(t, filepath.Join(dir, "gen/a.b/c/hello.pb.go"))
}
