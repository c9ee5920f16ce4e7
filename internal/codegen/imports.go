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

// The packages that generated code always imports.
const (
	contextPackage = "context"
	iterPackage    = "iter"
	reflectPackage = "reflect"
	runtimePackage = "github.com/aegisrpc/aegis/runtime"
	runtimeAlias   = "aegis"
)

// locals are the parameters and variables of generated code: an import of such
// a name could not be used there. Those of later emitters are reserved early,
// so that no alias changes when they come.
var locals = []string{
	"c", "client", "cmd", "conn", "ctx", "err", "ev", "h", "id", "impl", "in", "iter",
	"msg", "opts", "out", "pub", "req", "resp", "srv", "t", "term",
}

// imports are the aliases of the packages that a file may import.
type imports map[protogen.GoImportPath]string

// newImports gives each package that the file mentions a name of its own. It
// depends on nothing but the .proto files, so that the output never changes by
// itself.
func newImports(f *file, packages *packages) imports {
	im := imports{contextPackage: contextPackage, reflectPackage: reflectPackage, runtimePackage: runtimeAlias}
	taken := map[string]bool{contextPackage: true, reflectPackage: true, runtimeAlias: true}
	for _, name := range locals {
		taken[name] = true
	}
	// No import may have the name of anything in the package's own block.
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

// messagePackages are the packages of the messages and of the descriptor.
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
