// Package codegen is protoc-gen-aegis without its command line: it turns
// checked descriptors into typed clients and servers.
//
// It works in two phases. The first turns descriptors into a model that never
// changes afterwards, and makes every check; all mistakes of a run are reported
// together, and then nothing is generated. The second emits Go code from the
// model and cannot fail for anything that a .proto says.
package codegen

import (
	"fmt"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// Version is the version of the plugin, as it stands in what it generates.
const Version = "0.1.0-dev"

// The editions that the plugin handles. A test compares them with those of the
// protobuf module.
const (
	minimumEdition = descriptorpb.Edition_EDITION_PROTO2
	maximumEdition = descriptorpb.Edition_EDITION_2024
)

// Generator generates Go code for the services of .proto files.
type Generator struct {
	version string
}

// New returns a generator that writes version into what it generates.
func New(version string) *Generator {
	return &Generator{version: version}
}

// Run adds a file with clients and servers to the plugin's output for each of
// its files that has services. The error joins all mistakes in those files, in
// the order of their positions; nothing is generated then.
func (g *Generator) Run(plugin *protogen.Plugin) error {
	declareFeatures(plugin)
	files, err := newModel(plugin)
	if err != nil {
		return err
	}
	for _, file := range files {
		out := plugin.NewGeneratedFile(file.output, file.importPath)
		if err := g.emit(file).Render(out); err != nil {
			return fmt.Errorf("%s: the generated code is no valid Go, please report this with the .proto file: %w", file.source, err)
		}
	}
	return nil
}

func declareFeatures(plugin *protogen.Plugin) {
	plugin.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL |
		pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS)
	plugin.SupportedEditionsMinimum = minimumEdition
	plugin.SupportedEditionsMaximum = maximumEdition
}
