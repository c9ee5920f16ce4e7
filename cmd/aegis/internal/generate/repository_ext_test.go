package generate_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The generated code of this repository is that of buf: make checkgenerate sees to it.
// aegis generates the same, of all of its .proto files.
func TestGeneratedCodeOfThisRepositoryIsTheCommittedCode(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	const keda = "runtime/aegiskeda/internal/externalscaler/"
	for _, args := range [][]string{
		{}, {"--config", "internal/codegen/golden.buf.yaml", "--exclude-path", "proto/aegis"}, {"--config", keda + "buf.yaml", "--template", keda + "buf.gen.yaml"},
	} {
		r := run(t, root, append([]string{"generate", "--output", out}, args...)...)
		require.Zero(t, r.Code, r.Err)
		assert.Regexp(t, `^\d+ files written, 0 unchanged, in \d+`, r.Out)
		assert.Empty(t, r.Err)
	}
	sameFiles(t, committed(t), files(t, out))
}

// committed returns the generated code of this module.
func committed(t *testing.T) map[string]string {
	t.Helper()
	all := files(t, root)
	maps.DeleteFunc(all, func(name, _ string) bool {
		return !strings.HasSuffix(name, ".pb.go") && !strings.HasSuffix(name, ".aegis.go") ||
			strings.HasPrefix(name, "internal/bench/psrpc/") // a module of its own
	})
	require.Greater(t, len(all), 50)
	return all
}

// What the plugin says about the mistakes that are kept for its tests, it says here.
func TestMistakesAreToldAsThePluginTellsThem(t *testing.T) {
	t.Parallel()
	const template = `{version: v2, plugins: [{local: protoc-gen-aegis, out: ., strategy: all}]}`
	out := t.TempDir()
	r := run(t, root, "generate", "--template", template, "--output", out, "--config", "internal/codegen/mistakes.buf.yaml", "--exclude-path", "proto/aegis")
	assert.Equal(t, 1, r.Code)
	assert.Empty(t, r.Out)
	cases, err := filepath.Glob(root + "/internal/codegen/mistakes/*/want.txt")
	require.NoError(t, err)
	require.Greater(t, len(cases), 20)
	slices.Sort(cases)
	var told strings.Builder
	told.WriteString("aegis: protoc-gen-aegis refuses the files, nothing is written:\n")
	for _, name := range cases {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		told.Write(data)
	}
	if r.Err != told.String() {
		t.Error(firstDifference(told.String(), r.Err))
	}
	assert.Empty(t, files(t, out))
}

// Each folder of testdata is a workspace, and its want.sum has the hashes of what buf
// generates of it, which buf_test.go keeps.
func TestGeneratedCodeIsThatOfBuf(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"managed", "options", "selection", "v1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := copyOf(t, name)
			r := run(t, dir, "generate")
			require.Zero(t, r.Code, r.Err)
			want, err := os.ReadFile(filepath.Join("testdata", name, "want.sum"))
			require.NoError(t, err)
			assert.Equal(t, string(want), sums(goFiles(t, dir)))
		})
	}
}
