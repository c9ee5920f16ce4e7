// Package codegen is protoc-gen-aegis without its command line: it turns the services of
// .proto files into Go code that binds their types to the runtime.
//
// It works in two phases. The first (model.go, with the checks of package spec) turns
// descriptors into a model that never changes afterwards, and makes every check: all
// mistakes of a run are reported together, and then nothing is generated. The second
// (file.go and the emitters of clients, servers, commands and events) writes Go code from
// the model. No .proto file can make it fail.
package codegen

import (
	"fmt"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// Version is the version of the plugin. The head of each generated file has it.
const Version = "0.1.0-dev"

// The editions of protobuf that the plugin supports. A test compares them with those that
// the protobuf module supports.
const (
	minimumEdition = descriptorpb.Edition_EDITION_PROTO2
	maximumEdition = descriptorpb.Edition_EDITION_2024
)

// Generator generates Go code for the services of .proto files.
type Generator struct {
	version string
}

// New returns a generator that writes version into the head of each file.
func New(version string) *Generator {
	return &Generator{version: version}
}

// Run adds a file of Go code to the plugin's output for each of its files that has
// services. The error joins all mistakes in those files, in the order of their positions;
// then nothing is generated.
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
