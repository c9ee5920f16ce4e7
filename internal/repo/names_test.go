package repo

import (
	"go/ast"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A name that a document has and the code has not would send its reader on a search. The
// changelog tells of names that are gone.
func TestNamesInDocumentsAreThere(t *testing.T) {
	t.Parallel()
	names := publicNames(t)
	for _, name := range documents(t) {
		if name != "CHANGELOG.md" {
			assert.Empty(t, unknownNames(read(t, name), names), name)
		}
	}
}

func TestGuardSeesANameThatIsGone(t *testing.T) {
	t.Parallel()
	names := map[string]bool{"aegis.WithZone": true, "WithZone": true}
	assert.Equal(t, []string{"aegis.WithZones", "WithConcurrency"},
		unknownNames("`aegis.WithZone`, aegis.WithZones() and `WithZone` or (`WithConcurrency`)", names))
}

// unknownNames returns the names with the package aegis or one whose name begins so, and the
// options in backquotes, that names does not have.
func unknownNames(text string, names map[string]bool) []string {
	var unknown []string
	for _, m := range regexp.MustCompile("\\b(aegis\\w*\\.[A-Z]\\w*)|`(With[A-Z]\\w*)").FindAllStringSubmatch(text, -1) {
		name := m[1] + m[2]
		generated := strings.Contains(name, "v1aegis.") || strings.Contains(name, "v2aegis.")
		if !names[name] && !generated {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// publicNames are the exported names of the packages below runtime, those of functions and
// methods also without their package.
func publicNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	dirs, err := filepath.Glob(root + "/runtime/*")
	require.NoError(t, err)
	for _, dir := range append(dirs, root+"/runtime") {
		if files, _ := filepath.Glob(dir + "/*.go"); len(files) == 0 {
			continue
		}
		for _, f := range parse(t, dir).files {
			for _, decl := range f.Decls {
				for _, name := range declared(decl) {
					names[f.Name.Name+"."+name], names[name] = true, true
				}
			}
		}
	}
	return names
}

// declared returns the names of a declaration.
func declared(decl ast.Decl) []string {
	if f, ok := decl.(*ast.FuncDecl); ok {
		return []string{f.Name.Name}
	}
	var names []string
	for _, spec := range decl.(*ast.GenDecl).Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			names = append(names, s.Name.Name)
		case *ast.ValueSpec:
			for _, n := range s.Names {
				names = append(names, n.Name)
			}
		}
	}
	return names
}
