//go:build usertest

package usertest

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The commands of a project that aegis init has made work as its Makefile gives them, and
// buf agrees with the protos of each pattern. buf and aegis are those of this checkout, as
// their versions in the project would have to be downloaded.
func TestProjectsOfInitWithRealBuf(t *testing.T) {
	u := newUser(t)
	tools := t.TempDir()
	aegis, buf := filepath.Join(tools, "aegis"), filepath.Join(tools, "buf")
	u.in(checkout(t)).run("go", "build", "-o", aegis, "./cmd/aegis")
	u.in(checkout(t)).run("go", "build", "-modfile=tools/buf.mod", "-o", buf, "github.com/bufbuild/buf/cmd/buf")

	for _, pattern := range []string{"load_balanced", "stream", "single_active", "broadcast", "event", "command", "all"} {
		name := "shop-" + string(pattern[0]) + pattern[len(pattern)-1:]
		u.run(aegis, "init", name, "--pattern", pattern)
		project := u.in(filepath.Join(u.dir, name))
		project.run(buf, "lint")
		project.run(buf, "format", "--diff", "--exit-code", "--exclude-path", "proto/aegis")
	}

	project := u.in(filepath.Join(u.dir, "shop-al"))
	made := generated(t, project.dir)
	require.Len(t, made, 2)
	project.run("make", "lint", "test", "BUF="+buf)
	for _, generate := range [][]string{{"make", "generate"}, {buf, "generate"}} {
		require.NoError(t, os.RemoveAll(filepath.Join(project.dir, "gen")))
		project.run(generate...)
		assert.Equal(t, made, generated(t, project.dir), "%s gives what init has made", generate)
	}
	project.run("go", "vet", "./...")
}

// in returns the same user in another directory.
func (u *user) in(dir string) *user {
	other := *u
	other.dir = dir
	return &other
}

// generated returns the generated files of a project by their paths.
func generated(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	gen := os.DirFS(filepath.Join(dir, "gen"))
	require.NoError(t, fs.WalkDir(gen, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(gen, name)
		files[name] = string(text)
		return err
	}))
	return files
}
