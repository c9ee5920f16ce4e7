package repo

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// cluster is a part of package aegis: the files of some names, or of a prefix.
type cluster struct {
	name  string
	files []string // without .go; * stands for the rest of a name
}

// clusters are the parts of package aegis from the ground up, as docs/architecture.md
// draws them. The files of a cluster may use what the clusters before it define, and
// nothing that a later one does.
func clusters() []cluster {
	return []cluster{
		{"face", []string{"doc", "version", "error*", "code*", "header*", "call*", "interceptor*", "option", "state", "term"}},
		{"conn", []string{"conn*"}},
		{"storage", []string{"storage*", "deadletter*"}},
		{"stream", []string{"stream*"}},
		{"discovery", []string{"discovery*"}},
		{"client", []string{"client*"}},
		{"broadcast", []string{"broadcast*"}},
		{"leading", []string{"leading*"}},
		{"server", []string{"server*"}},
		{"event", []string{"event*"}},
		{"command", []string{"command*"}},
		{"generated", []string{"generated"}},
		{"memory", []string{"memory*"}}, // in the place of NATS, for package aegistest
		{"inside", []string{"inside"}},  // for the packages beside this one
	}
}

// strangers are clusters that must not use each other, in whichever order they are.
func strangers() [][2]string {
	return [][2]string{
		{"client", "server"},    // two ends of a call, which may be in different programs
		{"broadcast", "server"}, // as above
		{"event", "command"},    // both are users of the machine in internal/work
	}
}

const (
	mostLines  = 500 // of a file below runtime/
	mostFields = 20  // of a struct below runtime/
)

// The files of package aegis are layers, although the compiler sees one package.
func TestClustersUseOnlyWhatIsBelowThem(t *testing.T) {
	files := parse(t, filepath.Join(root, "runtime"))
	for _, arrow := range wrongArrows(t, files, exports(t, "./runtime")) {
		t.Error(arrow)
	}
}

func TestGuardSeesArrowsThatMustNotBe(t *testing.T) {
	fset := token.NewFileSet()
	var files []*ast.File
	for name, text := range map[string]string{
		"conn.go":        "package p\ntype Conn struct { seen client }\n",
		"client_pick.go": "package p\ntype client struct { conn *Conn }\nfunc (client) serve() {}\n",
		"server.go":      "package p\ntype server struct { conn *Conn }\nfunc (s *server) run() { s.conn.seen.serve() }\n",
		"attic.go":       "package p\n",
	} {
		f, err := parser.ParseFile(fset, name, text, 0)
		require.NoError(t, err)
		files = append(files, f)
	}
	arrows := wrongArrows(t, parsed{fset, files}, nil)
	assert.Equal(t, []string{
		"attic.go belongs to no cluster: name it after the part of the runtime that it belongs to",
		"conn -> client: conn.go uses client (client_pick.go)",
		"server -> client: server.go uses serve (client_pick.go)",
	}, arrows)
}

// Below the line are machines that know bytes, subjects and times. What an import
// brings along does not count.
func TestPackagesOfTheRuntimeImportOnlyWhatTheyMay(t *testing.T) {
	const internal = Module + "/runtime/internal"
	forbidden := map[string][]string{
		internal:                {Module + "/runtime", Module + "/internal/codegen"},
		internal + "/rpcstream": {"google.golang.org/protobuf/proto", Module + "/internal/spec"},
		internal + "/bus": {
			internal + "/rpcstream", internal + "/caller", internal + "/handling", internal + "/stores", internal + "/pull", internal + "/work", internal + "/leader",
			internal + "/leaderview", internal + "/directory", internal + "/registrar", internal + "/patterns", Module + "/internal/spec",
		},
	}
	for _, p := range list(t, "./runtime/...") {
		for tree, never := range forbidden {
			if p.ImportPath != tree && !strings.HasPrefix(p.ImportPath, tree+"/") {
				continue
			}
			for _, name := range never {
				assert.NotContains(t, p.Imports, name, "imports of %s", p.ImportPath)
			}
		}
	}
}

// Package aegistest is for tests: no package but those of this list may import it outside of
// tests, and no program links it.
func TestProductsDoNotLinkWhatIsForTests(t *testing.T) {
	const aegistest = Module + "/runtime/aegistest"
	const testonly = aegistest + "/internal/testonly" // panics in a program that is no test
	helpers := map[string]string{
		aegistest: "its own packages",
		Module + "/cmd/aegis/internal/testservice": "what the tests of several subcommands share",
	}
	var importers []string
	commands := []string{}
	for _, p := range list(t, "./...") {
		if slices.ContainsFunc(p.Imports, func(name string) bool { return name == aegistest || name == testonly }) {
			importers = append(importers, p.ImportPath)
		}
		if p.Name == "main" {
			commands = append(commands, p.ImportPath)
		}
	}
	assert.Equal(t, slices.Sorted(maps.Keys(helpers)), importers, "packages that import aegistest, but for their tests")
	assert.Contains(t, commands, Module+"/cmd/aegis")
	assert.Contains(t, commands, Module+"/examples/order/server")
	for _, p := range list(t, append([]string{"-deps"}, commands...)...) {
		assert.NotContains(t, []string{aegistest, testonly}, p.ImportPath, "a program links it")
	}
}

func TestFilesAndStructsOfTheRuntimeAreSmall(t *testing.T) {
	err := filepath.WalkDir(filepath.Join(root, "runtime"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") {
			return err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		lines := fset.File(f.Pos()).LineCount()
		assert.LessOrEqual(t, lines, mostLines, "lines of %s", path)
		if strings.HasSuffix(path, "_test.go") {
			return nil // a test may have a table as wide as it likes
		}
		for name, fields := range fieldsOf(f) {
			assert.LessOrEqual(t, fields, mostFields, "fields of %s in %s", name, path)
		}
		return nil
	})
	require.NoError(t, err)
}

func TestGuardCountsTheFieldsOfAStruct(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", "package p\ntype T struct { a, b int; T2; c struct { d int } }\ntype T2 struct{}\n", 0)
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"T": 4, "T2": 0}, fieldsOf(f))
}

// fieldsOf counts the fields of the named structs of a file. An embedded one counts as
// one.
func fieldsOf(f *ast.File) map[string]int {
	counts := make(map[string]int)
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			counts[spec.Name.Name] = s.Fields.NumFields()
		}
		return true
	})
	return counts
}

// parsed are the files of one package.
type parsed struct {
	fset  *token.FileSet
	files []*ast.File
}

// parse reads the files of a package without its tests.
func parse(t *testing.T, dir string) parsed {
	t.Helper()
	p := parsed{fset: token.NewFileSet()}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(p.fset, name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		p.files = append(p.files, f)
	}
	return p
}

// wrongArrows are the uses of definitions of a cluster that the using one must not
// know, one line for each file and name, and the files that are in no cluster.
func wrongArrows(t *testing.T, p parsed, imports types.Importer) []string {
	t.Helper()
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	conf := types.Config{Importer: imports}
	pkg, err := conf.Check("p", p.fset, p.files, info)
	require.NoError(t, err)

	wrong := make(map[string]bool)
	for _, f := range p.files {
		if name := fileName(p.fset, f.Pos()); clusterOf(name) < 0 {
			wrong[name+" belongs to no cluster: name it after the part of the runtime that it belongs to"] = true
		}
	}
	all := clusters()
	for id, used := range info.Uses {
		if used.Pkg() != pkg || !shared(used, pkg) {
			continue
		}
		fromFile, toFile := fileName(p.fset, id.Pos()), fileName(p.fset, used.Pos())
		from, to := clusterOf(fromFile), clusterOf(toFile)
		if from >= 0 && to >= 0 && !mayUse(from, to) {
			wrong[fmt.Sprintf("%s -> %s: %s uses %s (%s)", all[from].name, all[to].name, fromFile, used.Name(), toFile)] = true
		}
	}
	return slices.Sorted(maps.Keys(wrong))
}

// mayUse reports whether the cluster from may use what the cluster to defines.
func mayUse(from, to int) bool {
	all := clusters()
	pair := [2]string{all[to].name, all[from].name}
	return to <= from && !slices.Contains(strangers(), pair)
}

// shared leaves out local variables and type parameters.
func shared(o types.Object, pkg *types.Package) bool {
	switch o := o.(type) {
	case *types.Var:
		return o.IsField() || o.Parent() == pkg.Scope()
	case *types.TypeName:
		_, param := o.Type().(*types.TypeParam)
		return !param
	default:
		return true
	}
}

// clusterOf returns the place of a file's cluster in clusters, or -1.
func clusterOf(file string) int {
	name := strings.TrimSuffix(file, ".go")
	return slices.IndexFunc(clusters(), func(c cluster) bool {
		return slices.ContainsFunc(c.files, func(pattern string) bool {
			prefix, isPrefix := strings.CutSuffix(pattern, "*")
			return name == prefix || isPrefix && strings.HasPrefix(name, prefix+"_")
		})
	})
}

func fileName(fset *token.FileSet, pos token.Pos) string {
	return filepath.Base(fset.Position(pos).Filename)
}

// listed is what go list says of a package.
type listed struct {
	ImportPath, Name, Export string
	Imports                  []string
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Name,Export,Imports"}, args...)...)
	cmd.Dir = root
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	var packages []listed
	for decoder := json.NewDecoder(out); ; {
		var p listed
		err := decoder.Decode(&p)
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
	require.NoError(t, cmd.Wait())
	require.NotEmpty(t, packages)
	return packages
}

// exports imports what a package imports, as the compiler has compiled it.
func exports(t *testing.T, pkg string) types.Importer {
	t.Helper()
	files := make(map[string]string)
	for _, p := range list(t, "-export", "-deps", pkg) {
		files[p.ImportPath] = p.Export
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(files[path]) })
}
