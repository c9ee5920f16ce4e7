package codegen

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

// Serve answers one request of a compiler: it reads a CodeGeneratorRequest and
// writes a CodeGeneratorResponse. Mistakes in the .proto files and in the plugin's
// parameters are part of the response; the error is about reading and writing alone.
func (g *Generator) Serve(in io.Reader, out io.Writer) error {
	data, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	req := &pluginpb.CodeGeneratorRequest{}
	if err := proto.Unmarshal(data, req); err != nil {
		return fmt.Errorf("standard input holds no request of a compiler: this program is run by buf or protoc, not by hand: %w", err)
	}
	data, err = proto.Marshal(g.Respond(req))
	if err != nil {
		return fmt.Errorf("encode the response: %w", err)
	}
	if _, err := out.Write(data); err != nil {
		return fmt.Errorf("write the response: %w", err)
	}
	return nil
}

// Respond returns the code that a request asks for, or the mistakes that prevent it.
func (g *Generator) Respond(req *pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorResponse {
	plugin, against, err := newPlugin(req)
	if err != nil {
		failed := &protogen.Plugin{}
		declareFeatures(failed)
		failed.Error(err)
		return failed.Response()
	}
	err = g.Run(plugin)
	if err == nil && against != "" {
		err = checkAgainst(plugin, against)
	}
	if err != nil {
		plugin.Error(err)
	}
	return plugin.Response()
}

// parameters lists the parameters, for errors about one.
const parameters = "paths=import, paths=source_relative, module=<prefix>, against=<image> or M<file>=<import path>"

// newPlugin reads the request and its parameters. against is the path of the image to
// compare with; "" for none.
func newPlugin(req *pluginpb.CodeGeneratorRequest) (plugin *protogen.Plugin, against string, err error) {
	// protogen accepts this parameter by itself, but jennifer's output cannot be
	// annotated, and an error is better than a parameter without effect.
	for param := range strings.SplitSeq(req.GetParameter(), ",") {
		if name, _, _ := strings.Cut(param, "="); name == "annotate_code" {
			return nil, "", unknownParameter(name)
		}
	}
	plugin, err = protogen.Options{ParamFunc: func(name, value string) error {
		switch {
		case name != "against":
			return unknownParameter(name)
		case value == "":
			return errors.New("the parameter against needs an image, such as against=before.binpb")
		}
		against = value
		return nil
	}}.New(req)
	if err != nil {
		// protogen refuses some Go packages by itself, but its error has no position
		// and does not say what to write instead.
		err = cmp.Or(checkGoPackages(req).err(), err)
	}
	return plugin, against, err
}

func unknownParameter(name string) error {
	return fmt.Errorf("unknown parameter %q; write %s", name, parameters)
}
