// Package protoset compiles the .proto files of a workspace into descriptors, as buf
// compiles them: with the compiler that is part of buf, so that plugins get the same
// descriptors, positions and comments.
package protoset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"sync"

	"github.com/bufbuild/protocompile/experimental/fdp"
	"github.com/bufbuild/protocompile/experimental/incremental"
	"github.com/bufbuild/protocompile/experimental/incremental/queries"
	"github.com/bufbuild/protocompile/experimental/ir"
	"github.com/bufbuild/protocompile/experimental/report"
	"github.com/bufbuild/protocompile/experimental/source"
	"github.com/bufbuild/protocompile/wellknownimports"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	protos "github.com/aegisrpc/aegis/proto"
)

// Source is one .proto file that can be compiled or imported.
type Source struct {
	Display string // its name in errors, such as proto/shop/v1/shop.proto
	Text    string
}

// Sources finds a .proto file by the path of its import. The error is fs.ErrNotExist for a
// file that is not there.
type Sources interface {
	Source(path string) (Source, error)
}

// File is one compiled file.
type File struct {
	*descriptorpb.FileDescriptorProto

	Import  bool // it is in the set only because another file imports it
	BuiltIn bool // it is part of this command, and not of the sources
}

// Set is a list of compiled files, in which each file comes after its imports.
type Set struct {
	Files []*File
}

// Compile compiles the files of paths and all that they import. The files of the set are in
// the order of paths, each behind its imports. Imports that sources does not have are looked
// for among the files of Aegis (aegis/v1/options.proto), the well-known types and the rules of
// protovalidate. All mistakes in the files are reported at once, as a *MistakesError.
func Compile(ctx context.Context, sources Sources, paths []string) (*Set, error) {
	var options fdp.Options
	options.Apply(fdp.IncludeSourceCodeInfo(true), fdp.GenerateExtraOptionLocations(true))
	opener := &opener{sources: sources, builtIn: make(map[string]bool)}
	executor := incremental.New(
		incremental.WithParallelism(int64(runtime.GOMAXPROCS(0))),
		incremental.WithReportOptions(report.Options{SuppressWarnings: true}),
	)
	results, diagnostics, err := incremental.Run(ctx, executor, queries.FDS{
		Opener:    opener,
		Session:   new(ir.Session),
		Workspace: source.NewWorkspace(paths...),
		Options:   options,
	})
	if err != nil {
		return nil, err
	}
	if err := mistakesOf(diagnostics); err != nil {
		return nil, err
	}
	if err := results[0].Fatal; err != nil {
		return nil, err
	}
	files, err := resolveOptions(results[0].Value)
	if err != nil {
		return nil, err
	}
	set, err := arrange(files, paths)
	if err != nil {
		return nil, err
	}
	for _, f := range set.Files {
		f.BuiltIn = opener.builtIn[f.GetName()]
	}
	return set, nil
}

// opener gives the compiler the text of files. The compiler needs it to be comparable.
type opener struct {
	sources Sources

	mu      sync.Mutex      // guards builtIn
	builtIn map[string]bool // the files that sources does not have
}

// Open returns the file of an import path.
func (o *opener) Open(path string) (*source.File, error) {
	switch found, err := o.sources.Source(path); {
	case err == nil:
		return source.NewFile(found.Display, found.Text), nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	text, err := builtIn(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	o.mu.Lock()
	o.builtIn[path] = true
	o.mu.Unlock()
	return source.NewFile(path, text), nil
}

// builtIn returns the text of a file that is part of this command.
func builtIn(path string) (string, error) {
	if path == rulesPath {
		return rules()
	}
	for _, files := range []fs.FS{protos.Files, wellknownimports.FS()} {
		if text, err := fs.ReadFile(files, path); err == nil {
			return string(text), nil
		}
	}
	return "", fs.ErrNotExist
}

// IsWellKnown reports whether a path is that of a well-known type, which has no need to be
// in a workspace.
func IsWellKnown(path string) bool {
	_, err := fs.Stat(wellknownimports.FS(), path)
	return err == nil
}

// resolveOptions gives the options of all files their types. The compiler leaves them as
// bytes in the order of the source, and plugins would embed these; a descriptor that is
// read with the types of its own imports has them in the order of their numbers.
func resolveOptions(set *descriptorpb.FileDescriptorSet) (map[string]*descriptorpb.FileDescriptorProto, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	if err != nil {
		return nil, err
	}
	plain := &descriptorpb.FileDescriptorSet{}
	if err := (proto.UnmarshalOptions{Resolver: &protoregistry.Types{}}).Unmarshal(data, plain); err != nil {
		return nil, err
	}
	linked, err := protodesc.NewFiles(plain)
	if err != nil {
		return nil, fmt.Errorf("link the files: %w", err)
	}
	typed := &descriptorpb.FileDescriptorSet{}
	if err := (proto.UnmarshalOptions{Resolver: dynamicpb.NewTypes(linked)}).Unmarshal(data, typed); err != nil {
		return nil, err
	}
	files := make(map[string]*descriptorpb.FileDescriptorProto, len(typed.GetFile()))
	for _, f := range typed.GetFile() {
		files[f.GetName()] = f
	}
	return files, nil
}

// arrange puts the files into the order of protoc: that of paths, each file behind its
// imports.
func arrange(files map[string]*descriptorpb.FileDescriptorProto, paths []string) (*Set, error) {
	set := &Set{}
	seen := make(map[string]bool, len(files))
	wanted := make(map[string]bool, len(paths))
	for _, path := range paths {
		wanted[path] = true
	}
	var add func(path string) error
	add = func(path string) error {
		if seen[path] {
			return nil
		}
		seen[path] = true
		file := files[path]
		if file == nil {
			return fmt.Errorf("the compiler gave no descriptor of %s", path)
		}
		for _, dependency := range slices.Concat(file.GetDependency(), file.GetOptionDependency()) {
			if err := add(dependency); err != nil {
				return err
			}
		}
		set.Files = append(set.Files, &File{FileDescriptorProto: file, Import: !wanted[path]})
		return nil
	}
	for _, path := range paths {
		if err := add(path); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// Image returns the set as a FileDescriptorSet with its imports.
func (s *Set) Image() *descriptorpb.FileDescriptorSet {
	set := &descriptorpb.FileDescriptorSet{}
	for _, f := range s.Files {
		set.File = append(set.File, f.FileDescriptorProto)
	}
	return set
}

// Descriptors links the files of the set.
func (s *Set) Descriptors() ([]protoreflect.FileDescriptor, error) {
	linked, err := protodesc.NewFiles(s.Image())
	if err != nil {
		return nil, err
	}
	var all []protoreflect.FileDescriptor
	for _, f := range s.Files {
		desc, err := linked.FindFileByPath(f.GetName())
		if err != nil {
			return nil, err
		}
		all = append(all, desc)
	}
	return all, nil
}
