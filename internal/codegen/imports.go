package codegen

import (
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strconv"

	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/compiler/protogen"
)

// The packages that generated code imports besides those of the messages.
const (
	contextPackage = "context"
	iterPackage    = "iter"
	reflectPackage = "reflect"
	runtimePackage = "github.com/aegisrpc/aegis/runtime"
	runtimeAlias   = "aegis"
)

// locals are the names of the parameters and variables of generated code, and names that
// are reserved for them: an import of such a name would be hidden. Adding a name later
// changes the alias of a package that has it.
var locals = []string{
	"c", "client", "cmd", "conn", "ctx", "err", "ev", "h", "id", "impl", "in", "iter",
	"msg", "opts", "out", "pub", "req", "resp", "srv", "t", "term",
}

// imports maps the packages that a file may import to their aliases.
type imports map[protogen.GoImportPath]string

// newImports gives each package that the file mentions an alias of its own. The aliases
// depend on the .proto files alone, so that the same files always give the same code.
func newImports(f *file, packages *packages) imports {
	im := imports{contextPackage: contextPackage, reflectPackage: reflectPackage, runtimePackage: runtimeAlias}
	taken := map[string]bool{contextPackage: true, reflectPackage: true, runtimeAlias: true}
	for _, name := range locals {
		taken[name] = true
	}
	// Go refuses an import that has the name of an identifier of the package.
	for name := range packages.scopes[f.importPath].owners {
		taken[name] = true
	}
	for _, path := range slices.Sorted(maps.Keys(messagePackages(f))) {
		if im[path] != "" {
			continue
		}
		alias := freeAlias(string(packages.names[path]), taken)
		im[path], taken[alias] = alias, true
	}
	return im
}

// messagePackages returns the packages of a file's messages and of its descriptor.
func messagePackages(f *file) map[protogen.GoImportPath]bool {
	paths := map[protogen.GoImportPath]bool{f.descriptor.GoImportPath: true}
	for _, s := range f.services {
		for _, m := range s.methods {
			paths[m.input.GoImportPath] = true
			paths[m.output.GoImportPath] = true
		}
		for _, m := range s.events {
			paths[m.input.GoImportPath] = true
		}
	}
	return paths
}

// freeAlias returns name, or if that cannot be an alias, name with "pb" and a number.
func freeAlias(name string, taken map[string]bool) string {
	free := func(alias string) bool {
		return !taken[alias] && !token.IsKeyword(alias) && types.Universe.Lookup(alias) == nil && !jen.IsReservedWord(alias)
	}
	if free(name) {
		return name
	}
	name += "pb"
	alias := name
	for i := 2; !free(alias); i++ {
		alias = name + strconv.Itoa(i)
	}
	return alias
}

// apply tells jennifer the aliases.
func (im imports) apply(f *jen.File) {
	for path, alias := range im {
		if path == contextPackage || path == reflectPackage {
			f.ImportName(string(path), alias)
			continue
		}
		f.ImportAlias(string(path), alias)
	}
}
