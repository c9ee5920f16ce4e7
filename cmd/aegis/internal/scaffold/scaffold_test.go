package scaffold

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/internal/repo"
)

// initialise makes a project in a new directory and returns its path.
func initialise(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	r := clitest.RunIn(t, dir, nil, append([]string{"init"}, args...)...)
	require.Equal(t, 0, r.Code, "%s%s", r.Out, r.Err)
	return filepath.Join(dir, args[0])
}

// goCommand runs a go command in a project and returns its standard output.
func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(t, err, "go %s\n%s%s", strings.Join(args, " "), out, errs.String())
	return string(out)
}

func read(t *testing.T, elem ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elem...))
	require.NoError(t, err)
	return string(text)
}

// listed returns what is in a directory.
func listed(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestProjectOfEachPatternCompiles(t *testing.T) {
	t.Parallel()
	for _, m := range methods {
		t.Run(m.Pattern, func(t *testing.T) {
			t.Parallel()
			dir := initialise(t, "shop", "--pattern", m.Pattern)
			goCommand(t, dir, "vet", "./...") // programs and tests
			proto := read(t, dir, "proto", "shop", "v1", "shop.proto")
			assert.Equal(t, 1, strings.Count(proto, "  rpc "), proto)
			assert.Contains(t, proto, "  rpc "+m.Name+"(")
		})
	}
}

func TestProjectOfAllPatternsWorks(t *testing.T) {
	t.Parallel()
	dir := initialise(t, "order-book", "--pattern", "all", "--module", "example.org/acme/books/v2")
	goCommand(t, dir, "build", "./...")
	out := goCommand(t, dir, "test", "-v", "./...")
	for _, m := range methods {
		assert.Regexp(t, `(?m)^--- PASS: Test`+m.Name, out)
		assert.Contains(t, read(t, dir, "README.md"), m.Shows)
	}
	assert.Empty(t, goTool(t, dir, "gofmt", "-l", "."))
	assert.Contains(t, read(t, dir, "go.mod"), "module example.org/acme/books/v2\n")

	mods := read(t, dir, "go.mod") + read(t, dir, "go.sum")
	goCommand(t, dir, "mod", "tidy")
	assert.Equal(t, mods, read(t, dir, "go.mod")+read(t, dir, "go.sum"), "go mod tidy has nothing to do")

	linked := goCommand(t, dir, "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./server")
	for module := range strings.FieldsSeq(linked) {
		if module != "golang.org/x/net" { // of aegisenv, for SOCKS proxies
			assert.Contains(t, repo.LinkedModules(), module, "linked by the server")
		}
	}
}

func goTool(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func TestInitSaysInJSONWhatItMade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := clitest.RunIn(t, dir, nil, "init", "shop", "--pattern", "event,command", "-o", "json", "--aegis", checkout(t))
	require.Equal(t, 0, r.Code, r.Err)
	var got made
	require.NoError(t, json.Unmarshal([]byte(r.Out), &got), r.Out)
	assert.Equal(t, made{
		Directory: "shop", Module: "example.com/shop", Service: "shop.v1.ShopService",
		Patterns: []string{"event", "command"}, Aegis: checkout(t),
	}, got)
	assert.Contains(t, read(t, dir, "shop", "go.mod"), "\nreplace github.com/aegisrpc/aegis => "+checkout(t)+"\n")
}

func checkout(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../..")
	require.NoError(t, err)
	return dir
}

func TestDirectoryThatIsNotEmptyIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "shop", "docs"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop", "notes.txt"), []byte("mine"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "desk"), []byte("mine"), 0o600))

	r := clitest.RunIn(t, dir, nil, "init", "shop")
	assert.Equal(t, 1, r.Code)
	assert.Equal(t, "aegis: the directory shop is not empty, and init overwrites nothing: it has docs/, notes.txt; choose another name, or empty it\n", r.Err)
	r = clitest.RunIn(t, dir, nil, "init", "desk")
	assert.Equal(t, 1, r.Code)
	assert.Equal(t, "aegis: desk is a file here: choose another name, or move the file away\n", r.Err)
	assert.Equal(t, []string{"desk", "shop"}, listed(t, dir))
	assert.Equal(t, []string{"docs", "notes.txt"}, listed(t, filepath.Join(dir, "shop")))
}

func TestEmptyDirectoryIsFilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "shop"), 0o755))
	r := clitest.RunIn(t, dir, nil, "init", "shop")
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, listed(t, filepath.Join(dir, "shop")), "go.mod")
	assert.Equal(t, []string{"shop"}, listed(t, dir))
}

func TestProjectThatCannotBeCompletedLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := clitest.RunIn(t, dir, []string{"GOPROXY=off"}, "init", "shop", "--aegis", "v0.999.0")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "the modules of the project are not to be had, so nothing was made")
	assert.Contains(t, r.Err, "v0.999.0")
	assert.Empty(t, listed(t, dir))
	assert.Empty(t, r.Out)
}

func TestWrongUseIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"Shop"}, `name "Shop": a name has 1 to 40 lower-case letters and digits`},
		{[]string{"1shop"}, "such as shop or order-book"},
		{[]string{"order_book"}, "with a - between two words"},
		{[]string{"order--book"}, "with a - between two words"},
		{[]string{"../shop"}, "such as shop or order-book"},
		{[]string{strings.Repeat("a", 41)}, "1 to 40"},
		{[]string{""}, `name "": a name has`},
		{[]string{"aegis"}, "has a meaning of its own"},
		{[]string{"con"}, "has a meaning of its own"},
		{[]string{"order-linux"}, `Go would take the generated files order_linux.pb.go for files of linux alone`},
		{[]string{"order-test"}, `let the name end in another word than "test"`},
		{[]string{"shop", "desk"}, "aegis init takes NAME, and 2 arguments are given"},
		{[]string{"shop", "--module", "shop"}, "its first part has a dot"},
		{[]string{"shop", "--module", "example.com//shop"}, "a module's path is one that Go can import"},
		{[]string{"shop", "--module", "example.com/shop "}, "a module's path is one that Go can import"},
		{[]string{"shop", "--module", "example.com/internal/shop"}, `the part "internal"`},
		{[]string{"shop", "--module", "github.com/aegisrpc/aegis"}, "the module of Aegis itself"},
		{[]string{"shop", "--pattern", "brodcast"}, "did you mean broadcast?"},
		{[]string{"shop", "--pattern", "other"}, "use load_balanced, stream, single_active, broadcast, event, command, all"},
		{[]string{"shop", "--pattern", ""}, "--pattern is empty"},
		{[]string{"shop", "--aegis", ""}, "--aegis is empty"},
		{[]string{"shop", "--aegis", dir}, "neither a version, such as v0.1.0, nor a directory with the go.mod"},
	} {
		r := clitest.RunIn(t, dir, nil, append([]string{"init"}, test.args...)...)
		assert.Equal(t, 2, r.Code, "%q", test.args)
		assert.Contains(t, r.Err, test.want, "%q", test.args)
	}
	assert.Empty(t, listed(t, dir))
}

func TestVersionsAreThoseOfTheRepository(t *testing.T) {
	t.Parallel()
	assert.Contains(t, read(t, checkout(t), "go.mod"), "\ngo "+goVersion+"\n")
	assert.True(t, strings.HasPrefix(goVersion, goImage+"."))
	buf := regexp.MustCompile(`github\.com/bufbuild/buf (v\S+)`).FindStringSubmatch(read(t, checkout(t), "tools", "buf.mod"))
	require.NotNil(t, buf)
	assert.Equal(t, bufVersion, buf[1])
}

func TestSuffixesAreAllThatGoKnows(t *testing.T) {
	t.Parallel()
	for platform := range strings.FieldsSeq(goCommand(t, ".", "tool", "dist", "list")) {
		system, processor, _ := strings.Cut(platform, "/")
		assert.Contains(t, suffixes, system)
		assert.Contains(t, suffixes, processor)
	}
}

func TestReplacementIsQuotedWhereGoModNeedsIt(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "/srv/me/aegis", origin{Dir: "/srv/me/aegis"}.Replacement())
	assert.Equal(t, `"/srv/my self/aegis"`, origin{Dir: "/srv/my self/aegis"}.Replacement())
}

func TestWorkspaceAroundTheProjectIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	work := filepath.Join(dir, "go.work")
	require.NoError(t, os.WriteFile(work, []byte("go 1.26.0\n"), 0o600))
	r := clitest.RunIn(t, dir, nil, "init", "shop")
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, work+" is a workspace without the project: add it with `go work use ./shop`.\n")
	use := exec.CommandContext(t.Context(), "go", "work", "use", "./shop")
	use.Dir = dir
	out, err := use.CombinedOutput()
	require.NoError(t, err, "%s", out)
	list := exec.CommandContext(t.Context(), "go", "list", "./...")
	list.Dir = filepath.Join(dir, "shop")
	out, err = list.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestFlagsOfGoThatNameOtherModulesAreLeftOut(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "-modcacherw -buildvcs=false", goFlags("-mod=vendor -modcacherw --modfile=x.mod -buildvcs=false"))
}
