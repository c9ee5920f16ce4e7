package generate_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
)

// progress matches the line that a slow machine gets.
var progress = regexp.MustCompile(`(?m)^(?:compiling|reading|generating|writing).* \.\.\.\n`)

// root is the top of the repository.
const root = "../../../.."

// run runs the command in a directory.
func run(t *testing.T, dir string, args ...string) clitest.Result {
	t.Helper()
	return runProgram(t, dir, os.Environ(), clitest.Binary(t), args...)
}

// runProgram runs a program in a directory.
func runProgram(t *testing.T, dir string, env []string, program string, args ...string) clitest.Result {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), program, args...)
	cmd.Dir, cmd.Env = dir, slices.Concat(env, []string{"NO_COLOR=1"})
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	return clitest.Result{Out: stdout.String(), Err: progress.ReplaceAllString(stderr.String(), ""), Code: cmd.ProcessState.ExitCode()}
}

// files returns the files below a directory, by their paths with slashes.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path) // it is below
		all[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	return all
}

// project writes files, by their paths, into a new directory.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// sameFiles fails the test for each file that is in one of two sets alone, or differs.
func sameFiles(t *testing.T, want, got map[string]string) {
	t.Helper()
	for name, text := range want {
		if other, ok := got[name]; !ok {
			t.Errorf("%s is not generated", name)
		} else if other != text {
			t.Errorf("%s differs: %s", name, firstDifference(text, other))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is generated and should not be", name)
		}
	}
}

func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "want " + a[i] + "\n got " + b[i]
		}
	}
	return "one is longer"
}

// goFiles returns the Go files below a directory. Those of the well-known types count by
// their names alone: buf has them of a newer protobuf.
func goFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for name, text := range files(t, dir) {
		if strings.Contains(name, "wkt/google.golang.org/") {
			text = ""
		}
		if strings.HasSuffix(name, ".go") {
			all[name] = text
		}
	}
	return all
}

// copyOf returns a copy of a folder of testdata.
func copyOf(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))))
	return dir
}

// sums returns a line with the hash and the name of each file.
func sums(files map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256([]byte(files[name])), name)
	}
	return b.String()
}
