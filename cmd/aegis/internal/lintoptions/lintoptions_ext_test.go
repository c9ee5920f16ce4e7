package lintoptions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
)

// progress matches the line that a slow machine gets.
var progress = regexp.MustCompile(`(?m)^(?:compiling|reading|generating|writing).* \.\.\.\n`)

const (
	root    = "../../../.."
	against = root + "/internal/codegen/against/"
)

// run runs a program in a directory.
func run(t *testing.T, dir string, env []string, program string, args ...string) clitest.Result {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	return clitest.Result{Out: stdout.String(), Err: progress.ReplaceAllString(stderr.String(), ""), Code: cmd.ProcessState.ExitCode()}
}

func lint(t *testing.T, dir string, args ...string) clitest.Result {
	t.Helper()
	return run(t, dir, nil, clitest.Binary(t), append([]string{"lint-options"}, args...)...)
}

// wanted is what breaks between the two workspaces that the plugin's tests have.
func wanted(t *testing.T) string {
	t.Helper()
	want, err := os.ReadFile(against + "want.txt")
	require.NoError(t, err)
	return string(want)
}

func TestDirectoriesAndImagesAreCompared(t *testing.T) {
	t.Parallel()
	for _, before := range []string{against + "before", against + "before.binpb"} {
		r := lint(t, ".", "--against", before, against+"after")
		assert.Equal(t, clitest.Result{Out: wanted(t), Code: 1, Err: "aegis: 15 changes since " + before + " break what runs or what is stored\n"}, r)
	}
	r := lint(t, against+"after", "--against", "../after.binpb")
	assert.Equal(t, clitest.Result{Err: "No change since ../after.binpb breaks what runs or is stored.\n"}, r)
}

func TestChangesAreJSON(t *testing.T) {
	t.Parallel()
	r := lint(t, ".", "--output", "json", "--against", against+"before", against+"after")
	assert.Equal(t, 1, r.Code)
	assert.Empty(t, r.Err)
	var got struct {
		Against string
		Changes []string
	}
	require.NoError(t, json.Unmarshal([]byte(r.Out), &got))
	assert.Equal(t, strings.TrimSpace(wanted(t)), strings.Join(got.Changes, "\n"))
	r = lint(t, ".", "--output", "json", "--against", against+"after", against+"after")
	assert.Zero(t, r.Code)
	assert.JSONEq(t, `{"against": "`+against+`after", "changes": []}`, r.Out)
}

const (
	service = "syntax = \"proto3\";\npackage shop.v1;\nimport \"aegis/v1/options.proto\";\nmessage M {}\nservice Shop {\n"
	rpcBuy  = "  rpc Buy(M) returns (M);\n"
	rpcSell = "  rpc Sell(M) returns (M) { option (aegis.v1.method) = {single_active: {}}; }\n"
)

// repository is a git repository with two commits: the second has the tag v1.0.0, lacks
// Sell and ends in main. The working tree lacks Buy.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		r := run(t, dir, []string{"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_SYSTEM=" + os.DevNull}, "git",
			append([]string{"-c", "user.name=test", "-c", "user.email=test@example.com"}, args...)...)
		require.Zero(t, r.Code, r.Err)
	}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	git("init", "-q", "-b", "main")
	write("services/buf.yaml", "version: v2\nmodules: [{path: proto}]\n")
	write("services/README.md", "no proto")
	write("services/.gitattributes", "* export-ignore\n") // an archive would have nothing
	write("services/real/shop.proto", service+rpcBuy+rpcSell+"}\n")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "services/proto/shop"), 0o755))
	require.NoError(t, os.Symlink("../../real", filepath.Join(dir, "services/proto/shop/v1")))
	git("add", ".")
	git("commit", "-q", "-m", "one")
	write("services/real/shop.proto", service+rpcBuy+"}\n")
	git("commit", "-q", "-a", "-m", "two")
	git("tag", "v1.0.0")
	git("checkout", "-q", "-b", "broken")
	write("services/real/shop.proto", "no proto")
	git("commit", "-q", "-a", "-m", "three")
	git("checkout", "-q", "main")
	write("services/real/shop.proto", service+"}\n")
	return dir
}

func TestGitRefsAreCompared(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(repository(t), "services")
	const gone = "shop/v1/shop.proto:5:1: the method %s was here"
	for _, ref := range []string{"main", "v1.0.0", "HEAD", "refs/heads/main"} {
		r := lint(t, dir, "--against", ref)
		assert.Equal(t, 1, r.Code, ref)
		assert.Contains(t, r.Out, strings.ReplaceAll(gone, "%s", "Buy"), ref)
		assert.NotContains(t, r.Out, "Sell")
		assert.Equal(t, "aegis: 1 change since "+ref+" breaks what runs or what is stored\n", r.Err)
	}
	r := lint(t, filepath.Dir(dir), "--against", "HEAD~1", "services")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Out, strings.ReplaceAll(gone, "%s", "Buy"))
	assert.Contains(t, r.Out, strings.ReplaceAll(gone, "%s", "Sell"))
	assert.Equal(t, "aegis: 2 changes since HEAD~1 break what runs or what is stored\n", r.Err)
}

// A file or directory counts before a git ref of its name.
func TestAPathCountsBeforeAGitRef(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(repository(t), "services")
	require.NoError(t, os.CopyFS(filepath.Join(dir, "main"), os.DirFS(filepath.Join(dir, "real"))))
	r := lint(t, dir, "--against", "main")
	assert.Zero(t, r.Code, r.Out) // the directory has the service as it is now
	assert.Equal(t, 1, lint(t, dir, "--against", "refs/heads/main").Code)
}

func TestWhatCannotBeComparedIsTold(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(repository(t), "services")
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "aegis: lint-options needs something to compare with, such as --against main\n"},
		{[]string{"--against", "nowhere"}, 1, "aegis: --against nowhere: there is no file or directory of that name; as a git ref: the repository has no such branch, tag or commit\n"},
		{[]string{"--against", "--all"}, 1, "aegis: --against --all: there is no file or directory of that name; as a git ref: the repository has no such branch, tag or commit\n"},
		{[]string{"--against", "broken"}, 1, "aegis: nothing is compared, because of 4 mistakes in the .proto files:\nbroken:services/proto/shop/v1/shop.proto:1:1: "},
		{[]string{"--against", "README.md"}, 1, "aegis: the image of before: it is no image: build it with buf build -o, or protoc --include_imports --include_source_info -o: "},
		{[]string{"--against", "HEAD", "nowhere"}, 1, "aegis: the input nowhere: stat "},
	} {
		r := lint(t, dir, test.args...)
		assert.Equal(t, test.code, r.Code, test.args)
		assert.Empty(t, r.Out)
		if !strings.HasPrefix(r.Err, test.want) {
			t.Errorf("%v: %q does not begin with %q", test.args, r.Err, test.want)
		}
	}
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "a.proto"), []byte("syntax = \"proto3\";\n"), 0o644))
	r := lint(t, outside, "--against", "main")
	assert.Contains(t, r.Err, "not a git repository")
	r = run(t, dir, []string{"PATH=" + outside}, clitest.Binary(t), "lint-options", "--against", "main")
	assert.Equal(t, "aegis: --against main: there is no file or directory of that name; as a git ref: git is needed to read it, and is not in PATH\n", r.Err)
}
