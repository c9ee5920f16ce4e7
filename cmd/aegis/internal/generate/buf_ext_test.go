//go:build buftest

// These tests build buf and the plugins, and compare what buf generates with them with
// what aegis generates. make buftest runs them.
package generate_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
)

var update = flag.Bool("update", false, "write what buf generates into the want.sum of testdata")

var build sync.Once

// tools returns a directory with buf and the plugins, which are built once.
func tools(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(filepath.Dir(clitest.Binary(t)), "tools") // removed with the binary
	build.Do(func() {
		for _, args := range [][]string{
			{"-modfile=tools/buf.mod", "github.com/bufbuild/buf/cmd/buf"},
			{"-modfile=tools/go.mod", "google.golang.org/protobuf/cmd/protoc-gen-go"},
			{"./cmd/protoc-gen-aegis"},
		} {
			args = append([]string{"build", "-o", dir + string(filepath.Separator)}, args...)
			r := runProgram(t, root, os.Environ(), "go", args...)
			require.Zero(t, r.Code, r.Err)
		}
	})
	return dir
}

// runBuf runs `buf generate` in a directory, with the built plugins.
func runBuf(t *testing.T, dir string, args ...string) (code int, stderr string) {
	t.Helper()
	env := append(os.Environ(), "PATH="+tools(t)+string(filepath.ListSeparator)+os.Getenv("PATH"))
	r := runProgram(t, dir, env, filepath.Join(tools(t), "buf"), append([]string{"generate"}, args...)...)
	return r.Code, r.Err
}

// Each folder of testdata is a workspace. Aegis's own .proto files are put into that of
// buf, which does not have them built in.
func TestBufGeneratesTheSame(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		own  string // where buf needs Aegis's own files
	}{
		{name: "managed"},
		{name: "managed", args: []string{"--path", "shop/shop/v1/newest.proto", "--include-imports", "-o", "other"}},
		{name: "managed", args: []string{"common"}},
		{name: "options", own: "proto", args: []string{"--exclude-path", "proto/aegis"}},
		{name: "options", own: "proto", args: []string{"--path", "proto/root.proto", "--path", "proto/c"}},
		{name: "selection"},
		{name: "selection", args: []string{"--exclude-path", "proto/in/b", "."}},
		{name: "v1"},
		{name: "v1", args: []string{"one"}},
	} {
		t.Run(test.name+" "+strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			ofBuf, ofAegis := copyOf(t, test.name), copyOf(t, test.name)
			if test.own != "" {
				for name, text := range files(t, root+"/proto/aegis") {
					if strings.HasSuffix(name, ".proto") {
						write(t, filepath.Join(ofBuf, test.own, "aegis", name), text)
					}
				}
			}
			code, stderr := runBuf(t, ofBuf, test.args...)
			require.Zero(t, code, stderr)
			r := run(t, ofAegis, append([]string{"generate"}, test.args...)...)
			require.Zero(t, r.Code, r.Err)
			generated, want := goFiles(t, ofAegis), goFiles(t, ofBuf)
			require.NotEmpty(t, want)
			sameFiles(t, want, generated)
			if len(test.args) == 0 || test.name == "options" && len(test.args) == 2 {
				checkSums(t, test.name, want)
			}
		})
	}
}

// checkSums compares the sums that tests without buf use with what buf generates.
func checkSums(t *testing.T, name string, want map[string]string) {
	t.Helper()
	path := filepath.Join("testdata", name, "want.sum")
	if *update {
		write(t, path, sums(want))
	}
	stored, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, sums(want), string(stored), "go test -tags buftest -update ./cmd/aegis/internal/generate writes it")
}

// position matches the begin of a line that tells a mistake.
var position = regexp.MustCompile(`(?m)^([\w/.]+:\d+:\d+): ?(.*)$`)

// Mistakes are told with the text and position that buf has, but for an import: buf does not
// name its file.
func TestBufTellsTheSameMistakes(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{
		"buf.yaml":     "version: v2\nmodules: [{path: p}]\n",
		"buf.gen.yaml": "version: v2\nplugins: [{local: protoc-gen-go, out: gen}]\n",
		"p/a.proto":    "syntax = \"proto3\";\npackage a;\nimport \"b/b.proto\";\nimport \"nowhere.proto\";\nmessage A { X x = 1; string s = 1; }\nmessage C { string s = 1 }\nenum E { ONE = 1; }\nmessage A {}\n",
		"p/b/b.proto":  "syntax = \"proto3\";\npackage b;\nmessage B { map<float, string> m = 1; reserved 3; int32 three = 3; option nothing = 1; }\nservice S { rpc A(B) returns (Unknown); }\n",
		"p/new.proto":  "edition = \"2024\";\nimport weak \"b/b.proto\";\nmessage C { string a = 1 [ctype = CORD]; }\n",
		"p/four.proto": "syntax = \"proto4\";\n",
		"p/text.proto": "package \"x\n",
	})
	code, ofBuf := runBuf(t, dir)
	require.NotZero(t, code)
	r := run(t, dir, "generate")
	assert.Equal(t, 1, r.Code)
	const ofImport = "the imported file nowhere.proto does not exist in the modules of the workspace"
	want, got := mistakes(strings.Replace(ofBuf, "imported file does not exist", ofImport, 1)), mistakes(r.Err)
	require.Greater(t, len(want), 10)
	assert.Equal(t, want, got)
}

func mistakes(text string) []string {
	var all []string
	for _, m := range position.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1]+": "+m[2])
	}
	slices.Sort(all)
	return all
}
