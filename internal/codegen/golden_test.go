package codegen_test

import (
	"bytes"
	"cmp"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aegisrpc/aegis/internal/codegen"
)

const (
	goldenDir  = "golden"
	goldenPath = "internal/codegen/golden/"
)

// The golden cases are compiled like any package of the module, compared here,
// and called in package golden.
func TestGoldenCasesAreWhatIsGenerated(t *testing.T) {
	t.Parallel()
	generated := generateGolden(t)
	onDisk := goldenFiles(t)
	if *update {
		writeGolden(t, generated, onDisk)
		return
	}
	for name, content := range generated {
		t.Run(strings.TrimPrefix(name, goldenPath), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(onDisk[name])
			if err != nil {
				t.Fatalf("generated, but not there (make generate writes it): %v", err)
			}
			if diff := firstDifference(string(want), content); diff != "" {
				t.Error(diff)
			}
		})
	}
	for name := range onDisk {
		if _, ok := generated[name]; !ok {
			t.Errorf("%s is there, but no longer generated", name)
		}
	}
}

func TestGeneratedCodeIsFormattedAndTheSameEachTime(t *testing.T) {
	t.Parallel()
	generated := generateGolden(t)
	for name, content := range generated {
		formatted, err := format.Source([]byte(content))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(formatted, []byte(content)) {
			t.Errorf("%s is not as gofmt writes it: %s", name, firstDifference(string(formatted), content))
		}
	}
	for range 5 {
		if again := generateGolden(t); !maps.Equal(again, generated) {
			t.Fatal("the second run generates something else")
		}
	}
}

// Behaviour belongs in the runtime: a budget of lines of code, without comments and
// without the texts that are carried, keeps it there.
func TestGeneratedCodeIsThin(t *testing.T) {
	t.Parallel()
	const perService, perMethod = 35, 14
	const methods = 3
	content, ok := generateGolden(t)[goldenPath+"unary/unaryv1aegis/unary.aegis.go"]
	if !ok {
		t.Fatal("the case unary is not generated")
	}
	content, _, _ = strings.Cut(content, "[]aegis.Comment{")
	lines := 0
	for line := range strings.Lines(content) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines++
		}
	}
	if lines > perService+methods*perMethod {
		t.Errorf("%d lines for one service of %d methods, which is more than %d", lines, methods, perService+methods*perMethod)
	}
}

// go doc and its readers expect a comment to begin with the name.
func TestGeneratedCommentsBeginWithTheName(t *testing.T) {
	t.Parallel()
	for file, content := range generateGolden(t) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, content, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		eachDeclared(parsed, func(name string, doc *ast.CommentGroup) {
			if !strings.HasPrefix(doc.Text(), name+" ") && name != "_" {
				t.Errorf("%s: the comment of %s is %q", file, name, doc.Text())
			}
		})
	}
}

// eachDeclared calls see for the functions, methods, types, constants and variables of a
// file, with their comments.
func eachDeclared(f *ast.File, see func(name string, doc *ast.CommentGroup)) {
	for _, decl := range f.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			see(decl.Name.Name, decl.Doc)
		case *ast.GenDecl:
			for _, declared := range decl.Specs {
				switch declared := declared.(type) {
				case *ast.TypeSpec:
					see(declared.Name.Name, decl.Doc)
				case *ast.ValueSpec:
					see(declared.Names[0].Name, cmp.Or(declared.Doc, decl.Doc))
				}
			}
		}
	}
}

// An image that is older than the .proto files would test nothing.
func TestImagesHoldAllProtos(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{goldenDir, mistakesDir} {
		var inImage, onDisk []string
		for _, f := range readImage(t, dir) {
			if !isLibrary(f.GetName()) {
				inImage = append(inImage, f.GetName())
			}
		}
		err := fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(path, ".proto") {
				onDisk = append(onDisk, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(inImage)
		slices.Sort(onDisk)
		if !slices.Equal(inImage, onDisk) {
			t.Errorf("%s: run make generate; the image has\n%v\nand the folder\n%v", dir, inImage, onDisk)
		}
	}
}

func generateGolden(t testing.TB) map[string]string {
	t.Helper()
	resp := codegen.New(codegen.Version).Respond(requestFor(readImage(t, goldenDir), module, ""))
	if resp.Error != nil {
		t.Fatal(resp.GetError())
	}
	files := map[string]string{}
	for _, f := range resp.GetFile() {
		files[f.GetName()] = f.GetContent()
	}
	if len(files) == 0 {
		t.Fatal("nothing is generated")
	}
	return files
}

// goldenFiles maps the names of generated files to where they lie.
func goldenFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(goldenDir, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".aegis.go") {
			files["internal/codegen/"+filepath.ToSlash(path)] = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func writeGolden(t *testing.T, generated, onDisk map[string]string) {
	t.Helper()
	for _, path := range onDisk {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(generated)) {
		path := filepath.FromSlash(strings.TrimPrefix(name, "internal/codegen/"))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(generated[name]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// firstDifference tells the first line in which two texts differ; "" if none.
func firstDifference(want, got string) string {
	wantLines, gotLines := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(wantLines), len(gotLines)) {
		w, g := lineAt(wantLines, i), lineAt(gotLines, i)
		if w != g {
			return "line " + strconv.Itoa(i+1) + ":\n  want " + strconv.Quote(w) + "\n  got  " + strconv.Quote(g)
		}
	}
	return ""
}

func lineAt(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(the end)"
}
