package generate

import (
	"path"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile/options"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bufconfig"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/protoset"
)

// batch is the files of one run of a plugin: those to generate, and all that they import.
type batch struct {
	files    []*descriptorpb.FileDescriptorProto // each behind its imports
	generate map[string]bool
}

// requests returns the requests of a plugin for the files of a set: one, or one for each
// directory.
func requests(set *protoset.Set, p *bufconfig.Plugin) ([]*pluginpb.CodeGeneratorRequest, error) {
	var all []*pluginpb.CodeGeneratorRequest
	for _, b := range batches(set, p) {
		req, err := b.request(strings.Join(p.Opt, ","))
		if err != nil {
			return nil, err
		}
		all = append(all, req)
	}
	return all, nil
}

func batches(set *protoset.Set, p *bufconfig.Plugin) []*batch {
	dirs := make(map[string]map[string]bool) // the files to generate, by directory
	for _, f := range set.Files {
		if f.Import && (!p.IncludeImports || !p.IncludeWKT && protoset.IsWellKnown(f.GetName())) {
			continue
		}
		dir := path.Dir(f.GetName())
		if p.All {
			dir = "."
		}
		if dirs[dir] == nil {
			dirs[dir] = make(map[string]bool)
		}
		dirs[dir][f.GetName()] = true
	}
	var names []string
	for dir := range dirs {
		names = append(names, dir)
	}
	slices.Sort(names)
	var all []*batch
	for _, dir := range names {
		all = append(all, &batch{files: withImports(set, dirs[dir]), generate: dirs[dir]})
	}
	return all
}

// withImports returns the files of a set that are wanted, and all that they import.
func withImports(set *protoset.Set, wanted map[string]bool) []*descriptorpb.FileDescriptorProto {
	files := make(map[string]*descriptorpb.FileDescriptorProto, len(set.Files))
	for _, f := range set.Files {
		files[f.GetName()] = f.FileDescriptorProto
	}
	needed := make(map[string]bool)
	var need func(name string)
	need = func(name string) {
		if needed[name] || files[name] == nil {
			return
		}
		needed[name] = true
		for _, imported := range slices.Concat(files[name].GetDependency(), files[name].GetOptionDependency()) {
			need(imported)
		}
	}
	for name := range wanted {
		need(name)
	}
	var all []*descriptorpb.FileDescriptorProto
	for _, f := range set.Files {
		if needed[f.GetName()] {
			all = append(all, f.FileDescriptorProto)
		}
	}
	return all
}

// request returns the request of the batch. Options that are for the source alone are left
// out of the files to generate; the plugin gets them in a list of their own.
func (b *batch) request(parameter string) (*pluginpb.CodeGeneratorRequest, error) {
	req := &pluginpb.CodeGeneratorRequest{}
	if parameter != "" {
		req.Parameter = proto.String(parameter)
	}
	for _, f := range b.files {
		if b.generate[f.GetName()] {
			req.FileToGenerate = append(req.FileToGenerate, f.GetName())
			req.SourceFileDescriptors = append(req.SourceFileDescriptors, f)
			stripped, err := options.StripSourceRetentionOptionsFromFile(f)
			if err != nil {
				return nil, err
			}
			f = stripped
		}
		req.ProtoFile = append(req.ProtoFile, f)
	}
	return req, nil
}
