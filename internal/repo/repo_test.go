package repo

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

func TestDocumentsAreShort(t *testing.T) {
	for name, limit := range map[string]int{"README.md": 200, "CONTRIBUTING.md": 80} {
		assert.LessOrEqual(t, strings.Count(read(t, name), "\n"), limit, "lines of %s", name)
	}
}

// Every command that a document shows is run by somebody: the quick start by
// internal/usertest, all else by .ci/run or the workflow.
func TestCommandsInDocumentsAreRun(t *testing.T) {
	ran := []string{"make", "make ci"} // TestHelpListsAllTargets; .ci/run itself
	runs := regexp.MustCompile(`(?m)^\s*(?:step [\w-]+|- run:) make ([a-z-]+)`)
	for _, match := range runs.FindAllStringSubmatch(read(t, ".ci/run")+read(t, ".github/workflows/ci.yaml"), -1) {
		ran = append(ran, "make "+match[1], "make "+prerequisite(t, match[1]))
	}
	quickStart := regexp.MustCompile(`(?s)\n## Quick start\n.*?\n## `)
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "RELEASE.md"} {
		for _, line := range shellLines(quickStart.ReplaceAllString(read(t, name), "\n## ")) {
			line, _, _ = strings.Cut(line, "#")
			assert.Contains(t, ran, strings.TrimSpace(line), "%s shows it", name)
		}
	}
	assert.Contains(t, read(t, "Makefile"), "\nci: ## Run everything that a change has to pass\n\t.ci/run\n")
}

func TestTargetsNamedInDocumentsExist(t *testing.T) {
	targets := targets(t)
	named := regexp.MustCompile("`make ([a-z-]+)[^`]*`")
	for _, name := range documents(t) {
		for _, match := range named.FindAllStringSubmatch(read(t, name), -1) {
			assert.Contains(t, targets, match[1], "%s names `make %s`", name, match[1])
		}
	}
}

func TestHelpListsAllTargets(t *testing.T) {
	help := run(t, "make", "--no-print-directory")
	for _, target := range targets(t) {
		assert.Regexp(t, `(?m)^  `+target+` +\S`, help)
	}
}

// What the README tells users to fetch is what is tested here.
func TestVersionsInQuickStartArePinnedOnes(t *testing.T) {
	pinned := read(t, "go.mod") + read(t, "tools/buf.mod")
	fetched := regexp.MustCompile(`(github\.com/\S+?)(?:/cmd/\w+)?@(v\S+)`)
	matches := fetched.FindAllStringSubmatch(read(t, "docs/buf.md"), -1)
	require.NotEmpty(t, matches)
	for _, match := range matches {
		assert.Regexp(t, regexp.QuoteMeta(match[1])+" "+regexp.QuoteMeta(match[2])+`\b`, pinned)
	}
}

func TestLinksInDocumentsLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	code := regexp.MustCompile("(?s)\n```.*?\n```") // generic functions look like links
	for _, name := range documents(t) {
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, name), ""), -1) {
			_, err := os.Stat(filepath.Join(root, path.Dir(name), match[1]))
			assert.NoError(t, err, "%s links to it", name)
		}
	}
}

func TestDirectDependenciesAreExplained(t *testing.T) {
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	require.NoError(t, json.Unmarshal([]byte(run(t, "go", "mod", "edit", "-json")), &mod))
	explained := read(t, "docs/dependencies.md")
	for _, dep := range mod.Require {
		if !dep.Indirect {
			assert.Contains(t, explained, "\n| "+dep.Path+" |", "docs/dependencies.md")
		}
	}
}

// A path of somebody's machine works nowhere else.
func TestNoPathsOfOneMachine(t *testing.T) {
	machine := regexp.MustCompile(`(^|[^A-Za-z0-9_.-])/(work|farm|root|home|Users)/`)
	for _, name := range files(t) {
		text := read(t, name)
		if strings.HasSuffix(name, ".sum") || strings.ContainsRune(text, 0) {
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			assert.NotRegexp(t, machine, line, "%s:%d", name, i+1)
		}
	}
}

// Code that is generated from a proto that is gone would stay for ever, as
// generating does not touch it.
func TestGeneratedCodeHasItsProto(t *testing.T) {
	all := files(t)
	source := regexp.MustCompile(`(?m)^// (?:[sS]ource: )?(\S+\.proto)(?: is a deprecated file\.)?$`)
	for _, name := range all {
		if !strings.HasSuffix(name, ".pb.go") && !strings.HasSuffix(name, ".aegis.go") {
			continue
		}
		match := source.FindStringSubmatch(read(t, name))
		if !assert.NotNil(t, match, "%s does not say what it was generated from", name) {
			continue
		}
		assert.True(t, slices.ContainsFunc(all, func(other string) bool {
			return strings.HasSuffix("/"+other, "/"+match[1])
		}), "%s was generated from %s, which is not here", name, match[1])
	}
}

func TestPurePackagesKnowNoTransport(t *testing.T) {
	for _, name := range []string{"election", "selection", "registry", "health"} {
		dir := "runtime/" + name
		if _, err := os.Stat(filepath.Join(root, dir)); os.IsNotExist(err) {
			continue // not written yet
		}
		for _, dep := range deps(t, "{{.ImportPath}}", "./"+dir) {
			assert.NotContains(t, dep, "nats", "%s imports it", dir)
			assert.NotEqual(t, Module+"/runtime", dep, "%s imports it", dir)
		}
	}
}

func TestServicesLinkFewModules(t *testing.T) {
	linksOnly(t, nil, "./runtime", "./runtime/health/httphealth", "./proto/...", "./examples/echo/gen/...")
}

// What is heavier is linked by those alone who import it.
func TestPackagesForOneLibraryLinkThatOne(t *testing.T) {
	linksOnly(t, []string{
		"github.com/prometheus/client_golang", "github.com/prometheus/client_model", "github.com/prometheus/common",
		"github.com/prometheus/procfs", "github.com/beorn7/perks", "github.com/cespare/xxhash/v2", "github.com/munnerz/goautoneg",
	}, "./runtime/aegisprom")
	linksOnly(t, []string{
		"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/log", "go.opentelemetry.io/otel/metric", "go.opentelemetry.io/otel/trace",
		"go.opentelemetry.io/auto/sdk",
		"github.com/cespare/xxhash/v2", "github.com/go-logr/logr", "github.com/go-logr/stdr",
	}, "./runtime/aegisotel")
	linksOnly(t, nil, "./runtime/aegislog")
	linksOnly(t, []string{"golang.org/x/time", "google.golang.org/genproto/googleapis/rpc"}, "./runtime/aegislimit")
	linksOnly(t, []string{
		"buf.build/go/protovalidate", "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go", "cel.dev/cel-go", "cel.dev/expr",
		"github.com/antlr4-go/antlr/v4", "go.yaml.in/yaml/v3", "golang.org/x/exp", "golang.org/x/text",
		"google.golang.org/genproto/googleapis/api", "google.golang.org/genproto/googleapis/rpc",
	}, "./runtime/aegisvalidate")
	linksOnly(t, []string{"golang.org/x/net"}, "./runtime/aegisenv")
	linksOnly(t, []string{"connectrpc.com/connect"}, "./runtime/aegiskeda")
}

// Kubernetes and gRPC are linked by those alone who import the packages for them, and no gRPC by
// anybody.
func TestKubernetesIsLinkedByThoseWhoAskForIt(t *testing.T) {
	const kube, keda = Module + "/runtime/aegiskube", Module + "/runtime/aegiskeda"
	var others []string
	for _, name := range deps(t, "{{.ImportPath}}", "./runtime/...") {
		if strings.HasPrefix(name, Module+"/runtime") && !strings.HasPrefix(name, kube) && !strings.HasPrefix(name, keda) {
			others = append(others, name)
		}
	}
	require.Contains(t, others, Module+"/runtime/aegisenv")
	foreign := func(packages ...string) (found []string) {
		for _, dep := range deps(t, "{{.ImportPath}}", packages...) {
			for _, prefix := range []string{"k8s.io/", "sigs.k8s.io/", "google.golang.org/grpc", "connectrpc.com/"} {
				if strings.HasPrefix(dep, prefix) {
					found = append(found, dep)
				}
			}
		}
		return found
	}
	assert.Empty(t, foreign(others...))
	assert.Contains(t, foreign(kube), "k8s.io/client-go/rest")
	assert.Contains(t, foreign(keda), "connectrpc.com/connect")
	for _, dep := range deps(t, "{{.ImportPath}}", "./cmd/...") {
		assert.False(t, strings.HasPrefix(dep, "google.golang.org/grpc"), "%s is linked by the command", dep)
	}
}

// linksOnly asserts that packages link what services link, and more.
func linksOnly(t *testing.T, more []string, packages ...string) {
	t.Helper()
	for _, dep := range deps(t, "{{with .Module}}{{.Path}}{{end}}", packages...) {
		assert.Contains(t, append(LinkedModules(), more...), dep, "%v would link it", packages)
	}
}

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(text)
}

// files lists the repository's files, with slashes and without what builds leave.
func files(t *testing.T) []string {
	t.Helper()
	var names []string
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (slices.Contains([]string{".git", ".tmp", "build"}, name) || slices.Contains([]string{"node_modules", ".build"}, path.Base(name))):
			return fs.SkipDir
		case entry.Type().IsRegular() && name != ".git":
			names = append(names, name)
		}
		return nil
	}))
	require.Contains(t, names, "go.mod")
	return names
}

func documents(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(files(t), func(name string) bool { return !strings.HasSuffix(name, ".md") })
}

// targets lists the targets of the Makefile.
func targets(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, match := range regexp.MustCompile(`(?m)^\.PHONY: ([\w-]+)$`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		names = append(names, match[1])
	}
	require.NotEmpty(t, names)
	return names
}

// prerequisite names the target that is made before another, if there is one.
func prerequisite(t *testing.T, target string) string {
	t.Helper()
	match := regexp.MustCompile(`(?m)^` + target + `: (\w+) ##`).FindStringSubmatch(read(t, "Makefile"))
	if match == nil {
		return ""
	}
	return match[1]
}

// shellLines lists the lines of a document's shell blocks.
func shellLines(text string) []string {
	var lines []string
	for _, block := range regexp.MustCompile("(?s)\n```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		lines = append(lines, strings.Split(strings.TrimSpace(block[1]), "\n")...)
	}
	return lines
}

// deps lists what packages are built from, tests left out, each once.
func deps(t *testing.T, format string, packages ...string) []string {
	t.Helper()
	lines := strings.Fields(run(t, "go", append([]string{"list", "-deps", "-f", format}, packages...)...))
	slices.Sort(lines)
	require.NotEmpty(t, lines)
	return slices.Compact(lines)
}

// run returns the standard output of a command that ends well.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = root
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Run(), "%s: %s", cmd, &stderr)
	return stdout.String()
}
