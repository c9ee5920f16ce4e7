package workspace

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tree writes files into a new directory and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

// shop is a workspace of two modules.
func shop(t *testing.T) string {
	t.Helper()
	return tree(t, map[string]string{
		"buf.yaml":                   "version: v2\nmodules: [{path: shop, name: buf.build/acme/shop, excludes: [shop/old]}, {path: libs/common}]",
		"shop/shop/v1/shop.proto":    "",
		"shop/shop/v1/order.proto":   "",
		"shop/shop/v1/README.md":     "",
		"shop/old/old.proto":         "",
		"shop/.proto":                "",
		"libs/common/common/a.proto": "common a",
		"libs/other/x.proto":         "",
		"unrelated/x.proto":          "",
	})
}

func TestFilesOfAWorkspaceAreSelected(t *testing.T) {
	t.Parallel()
	dir := shop(t)
	at := func(names ...string) []string {
		for i, name := range names {
			names[i] = filepath.Join(dir, name)
		}
		return names
	}
	for _, test := range []struct {
		input           string
		paths, excludes []string
		want            []string
		err             string
	}{
		{input: ".", want: []string{"common/a.proto", "shop/v1/order.proto", "shop/v1/shop.proto"}},
		{input: "shop", want: []string{"shop/v1/order.proto", "shop/v1/shop.proto"}},
		{input: "libs", want: []string{"common/a.proto"}},
		{input: ".", paths: at("shop/shop"), want: []string{"shop/v1/order.proto", "shop/v1/shop.proto"}},
		{input: ".", paths: at("shop/shop/v1/order.proto", "libs/common/common"), want: []string{"common/a.proto", "shop/v1/order.proto"}},
		{input: ".", excludes: at("shop/shop/v1/shop.proto", "nowhere"), want: []string{"common/a.proto", "shop/v1/order.proto"}},
		{input: ".", paths: at("nowhere"), err: ErrNoFiles.Error()},
		{input: "shop", paths: at("libs/common/common"), err: ErrNoFiles.Error()},
		{input: ".", paths: at("shop"), err: "--path shop is a module; name it as the input"},
		{input: ".", paths: at("."), err: "--path . is the input itself; leave it out"},
		{input: ".", excludes: at("."), err: "--exclude-path . is the input itself, so nothing would be left"},
		{input: ".", excludes: at("shop"), err: "--exclude-path shop is a module; it can name files and directories within modules only"},
		{input: ".", paths: at("shop/shop/v1"), excludes: at("shop/shop"), err: "--path shop/shop/v1 is within an --exclude-path, so nothing of it would be left"},
		{input: ".", paths: []string{dir + "/../x"}, err: "--path " + dir + "/../x is not within the workspace " + dir},
		{input: "shop/shop", err: "the input " + dir + "/shop/shop is within the module " + dir + "/shop; name the workspace or the module as the input, and what is wanted of it with --path"},
		{input: "nowhere", err: "the input " + dir + "/nowhere: stat " + dir + "/nowhere: no such file or directory"},
		{input: "buf.yaml", err: "the input " + dir + "/buf.yaml is no directory; name its directory, and the file with --path"},
		// buf too takes a directory that no module concerns for a module by itself.
		{input: "unrelated", want: []string{"x.proto"}},
	} {
		w, err := Open(filepath.Join(dir, test.input), "")
		var got []string
		if err == nil {
			got, err = w.Select(test.paths, test.excludes)
		}
		if test.err != "" {
			require.EqualError(t, err, test.err)
			continue
		}
		require.NoError(t, err, test)
		assert.Equal(t, test.want, got, test)
	}
}

func TestImportsAreFoundInAllModules(t *testing.T) {
	t.Parallel()
	dir := shop(t)
	w, err := Open(filepath.Join(dir, "shop"), "")
	require.NoError(t, err)
	source, err := w.Source("common/a.proto")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "libs/common/common/a.proto"), source.Display)
	assert.Equal(t, "common a", source.Text)
	assert.Equal(t, "buf.build/acme/shop", w.ModuleName("shop/v1/shop.proto"))
	for _, none := range []string{"old/old.proto", "nowhere.proto", "../libs/other/x.proto", "shop/v1/README.md", "shop/v1", "/etc/passwd", ""} {
		_, err := w.Source(none)
		assert.ErrorIs(t, err, fs.ErrNotExist, none)
	}
}

func TestWorkspacesThatCannotBeReadAreRefused(t *testing.T) {
	t.Parallel()
	for want, files := range map[string]map[string]string{
		"x.proto is in two modules, a and b; an import of it would mean either": {"buf.yaml": "version: v2\nmodules: [{path: a}, {path: b}]", "a/x.proto": "", "b/x.proto": ""},
		"the module DIR/gone is no directory":                                   {"buf.yaml": "version: v2\nmodules: [{path: gone}]"},
		"DIR/buf.yaml:1:1: version is missing; write version: v2":               {"buf.yaml": "modules: []"},
		"DIR/buf.work.yaml:1:1: directories is missing or empty":                {"buf.work.yaml": "version: v1"},
		"DIR/a/buf.yaml is of version v2 within a workspace of version v1; write a buf.yaml of version v2 at the top, in place of buf.work.yaml": {"buf.work.yaml": "version: v1\ndirectories: [a]", "a/buf.yaml": "version: v2"},
	} {
		dir := tree(t, files)
		w, err := Open(dir, "")
		if err == nil {
			_, err = w.Select(nil, nil)
		}
		if assert.Error(t, err, want) {
			assert.Equal(t, want, strings.ReplaceAll(err.Error(), dir, "DIR"))
		}
	}
	dir := tree(t, map[string]string{"buf.yaml": "version: v1", "in/x.proto": ""})
	_, err := Open(filepath.Join(dir, "in"), "")
	assert.ErrorContains(t, err, "is of version v1; name that directory as the input")
}

func TestSymbolicLinksAreFollowed(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"real/x.proto": "", "module/own.proto": ""})
	require.NoError(t, os.Symlink(filepath.Join(dir, "real"), filepath.Join(dir, "module/linked")))
	require.NoError(t, os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "module/broken.proto")))
	w, err := Open(filepath.Join(dir, "module"), "")
	require.NoError(t, err)
	got, err := w.Select(nil, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"linked/x.proto", "own.proto"}, got)
	require.NoError(t, os.Symlink(filepath.Join(dir, "module"), filepath.Join(dir, "module/round")))
	_, err = w.Select(nil, nil)
	assert.ErrorContains(t, err, "round is a symbolic link to a directory that it is in")
}
