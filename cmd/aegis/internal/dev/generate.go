package dev

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bufconfig"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/generate"
)

// generateCode generates the code of the protos in the working directory, as `aegis
// generate` does, and returns their descriptors. Without a buf.gen.yaml there are none.
func generateCode(ctx context.Context, out *output) ([]protoreflect.FileDescriptor, error) {
	if _, err := os.Stat(bufconfig.Template); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	summary, err := generate.Run(ctx, generate.Options{}, func(string, ...any) {})
	if err != nil {
		return nil, err
	}
	for _, note := range summary.Notes {
		out.sayf(warning, "%s", note)
	}
	set, err := generate.Compile(ctx, bufconfig.Input{Dir: "."}, "", nil)
	if err != nil {
		return nil, err
	}
	return set.Descriptors()
}
