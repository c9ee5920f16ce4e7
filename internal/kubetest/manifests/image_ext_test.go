package manifests_test

import (
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

const dockerfile = deploy + "/docker/Dockerfile"

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// images returns the packages of the images that the head of the Dockerfile says how to build.
func images(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`docker build -f deploy/docker/Dockerfile --build-arg PACKAGE=(\S+) -t (\w+):dev \.`).
		FindAllStringSubmatch(readFile(t, dockerfile), -1) {
		found[m[2]] = m[1]
	}
	require.Len(t, found, 2)
	return found
}

// buildImages builds the programs of the images from the files that Docker would be sent, with the
// flags of the Dockerfile.
func buildImages(t *testing.T) map[string]string {
	t.Helper()
	context := sent(t)
	flags := regexp.MustCompile(`CGO_ENABLED=0 GOOS=\$TARGETOS GOARCH=\$TARGETARCH go build (.*) -o /program "\$PACKAGE"`).
		FindStringSubmatch(readFile(t, dockerfile))
	require.NotNil(t, flags)
	programs := map[string]string{}
	for name, pkg := range images(t) {
		programs[name] = filepath.Join(context, name+".program")
		args := append(append([]string{"build"}, strings.Fields(flags[1])...), "-o", programs[name], pkg)
		cmd := exec.CommandContext(t.Context(), "go", args...) //nolint:gosec // the Dockerfile is ours
		cmd.Dir = context
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		checkStatic(t, programs[name])
	}
	return programs
}

// sent copies what .dockerignore lets through, and returns the folder.
func sent(t *testing.T) string {
	t.Helper()
	patterns, err := ignorefile.ReadAll(strings.NewReader(readFile(t, dockerfile+".dockerignore")))
	require.NoError(t, err)
	ignored, err := patternmatcher.New(patterns)
	require.NoError(t, err)
	to := t.TempDir()
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		out, err := ignored.MatchesOrParentMatches(name)
		switch {
		case err != nil:
			return err
		case out && d.IsDir():
			return fs.SkipDir // no pattern lets in a part of what is left out
		case out:
			return nil
		case d.IsDir():
			return os.Mkdir(filepath.Join(to, name), 0o750)
		}
		return os.WriteFile(filepath.Join(to, name), []byte(readFile(t, filepath.Join(root, name))), 0o600)
	}))
	return to
}

// checkStatic fails if a program needs a loader, which the base image does not have.
func checkStatic(t *testing.T, program string) {
	t.Helper()
	f, err := elf.Open(program)
	require.NoError(t, err)
	defer f.Close()
	for _, p := range f.Progs {
		require.NotEqual(t, elf.PT_INTERP, p.Type, program)
	}
}

func TestDockerfileRunsAsNobody(t *testing.T) {
	t.Parallel()
	text := readFile(t, dockerfile)
	require.Contains(t, text, "\nUSER 65532:65532\n", "with a name, the kubelet does not know that it is not root")
	require.Contains(t, text, "\nENTRYPOINT [\"/program\"]\n")
	module, err := modfile.Parse("go.mod", []byte(readFile(t, root+"/go.mod")), nil)
	require.NoError(t, err)
	image := regexp.MustCompile(`golang:([\d.]+) AS build`).FindStringSubmatch(text)
	require.NotNil(t, image)
	require.GreaterOrEqual(t, semver.Compare(semver.MajorMinor("v"+image[1]), semver.MajorMinor("v"+module.Go.Version)), 0)
}

func TestManifestsNameTheImages(t *testing.T) {
	t.Parallel()
	of := map[string]string{"order": "order", "monitor": "aegis"}
	for _, dir := range []string{development, production} {
		for name, pod := range templates(build(t, dir)) {
			repository, tag, ok := strings.Cut(pod.Spec.Containers[0].Image, ":")
			require.True(t, ok && tag != "latest", "what is latest today is another program tomorrow")
			if name == "nats" {
				require.Equal(t, "nats:"+natsVersion(t), repository+":"+tag)
				continue
			}
			require.Equal(t, of[name], path.Base(repository))
			require.Contains(t, images(t), path.Base(repository))
		}
	}
}

// natsVersion returns the version of nats-server that Aegis is tested with, without its last number.
func natsVersion(t *testing.T) string {
	t.Helper()
	module, err := modfile.Parse("go.mod", []byte(readFile(t, root+"/go.mod")), nil)
	require.NoError(t, err)
	for _, r := range module.Require {
		if r.Mod.Path == "github.com/nats-io/nats-server/v2" {
			return strings.TrimPrefix(semver.MajorMinor(r.Mod.Version), "v")
		}
	}
	require.Fail(t, "no nats-server")
	return ""
}
