package protoset

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	validatepb "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// texts are sources by their paths.
type texts map[string]string

func (s *texts) Source(path string) (Source, error) {
	text, ok := (*s)[path]
	if !ok {
		return Source{}, fs.ErrNotExist
	}
	return Source{Display: "dir/" + path, Text: text}, nil
}

func TestFilesComeBehindTheirImports(t *testing.T) {
	t.Parallel()
	set, err := Compile(context.Background(), &texts{
		"a.proto": "syntax = \"proto3\";\nimport \"c.proto\";\nimport \"aegis/v1/options.proto\";\n",
		"b.proto": "syntax = \"proto3\";\nimport \"a.proto\";\n",
		"c.proto": "syntax = \"proto3\";\nimport \"google/protobuf/any.proto\";\n",
	}, []string{"b.proto", "a.proto"})
	require.NoError(t, err)
	var names, imports, builtIn []string
	for _, f := range set.Files {
		names = append(names, f.GetName())
		if f.Import {
			imports = append(imports, f.GetName())
		}
		if f.BuiltIn {
			builtIn = append(builtIn, f.GetName())
		}
	}
	own := []string{"google/protobuf/descriptor.proto", "google/protobuf/duration.proto", "aegis/v1/options.proto"}
	assert.Equal(t, append(append([]string{"google/protobuf/any.proto", "c.proto"}, own...), "a.proto", "b.proto"), names)
	assert.Equal(t, append([]string{"google/protobuf/any.proto", "c.proto"}, own...), imports)
	assert.Equal(t, append([]string{"google/protobuf/any.proto"}, own...), builtIn)
	assert.Len(t, set.Image().GetFile(), len(set.Files))
}

// The compiled file is the one that servers validate with, with all its options.
func TestRulesOfProtovalidateNeedNoFileInTheWorkspace(t *testing.T) {
	t.Parallel()
	set, err := Compile(context.Background(), &texts{
		"a.proto": `syntax = "proto3"; import "buf/validate/validate.proto"; message A { string id = 1 [(buf.validate.field).string.min_len = 1]; }`,
	}, []string{"a.proto"})
	require.NoError(t, err)
	i := slices.IndexFunc(set.Files, func(f *File) bool { return f.GetName() == "buf/validate/validate.proto" })
	require.NotEqual(t, -1, i)
	assert.True(t, set.Files[i].BuiltIn)
	own, err := protodesc.NewFile(asLinked(t, set.Files[i].FileDescriptorProto), protoregistry.GlobalFiles)
	require.NoError(t, err)
	linked := protodesc.ToFileDescriptorProto(validatepb.File_buf_validate_validate_proto)
	assert.True(t, proto.Equal(linked, protodesc.ToFileDescriptorProto(own)))
}

// asLinked returns a descriptor as Go code has it: with Go's types of options, and without
// positions.
func asLinked(t *testing.T, f *descriptorpb.FileDescriptorProto) *descriptorpb.FileDescriptorProto {
	t.Helper()
	data, err := proto.Marshal(f)
	require.NoError(t, err)
	linked := &descriptorpb.FileDescriptorProto{}
	require.NoError(t, proto.Unmarshal(data, linked))
	linked.SourceCodeInfo = nil
	return linked
}

// A workspace that has a file of Aegis or a well-known type has its own.
func TestSourcesCountBeforeWhatIsBuiltIn(t *testing.T) {
	t.Parallel()
	set, err := Compile(context.Background(), &texts{
		"a.proto":                   "syntax = \"proto3\";\nimport \"google/protobuf/any.proto\";\n",
		"google/protobuf/any.proto": "syntax = \"proto3\";\npackage own;\n",
	}, []string{"a.proto"})
	require.NoError(t, err)
	assert.Equal(t, "own", set.Files[0].GetPackage())
	assert.False(t, set.Files[0].BuiltIn)
}

func TestMistakesAreInTheOrderOfTheirPositions(t *testing.T) {
	t.Parallel()
	_, err := Compile(context.Background(), &texts{
		"b.proto": "syntax = \"proto3\";\nmessage M {\n  X x = 1; Y y = 1;\n}\n",
		"a.proto": "syntax = \"proto3\";\nimport \"none.proto\";\n",
	}, []string{"b.proto", "a.proto"})
	found, ok := errors.AsType[*MistakesError](err)
	require.True(t, ok, err)
	assert.Equal(t, []Mistake{
		{"dir/a.proto", 2, 1, "the imported file none.proto does not exist in the modules of the workspace"},
		{"dir/b.proto", 3, 3, "cannot find `X` in this scope"},
		{"dir/b.proto", 3, 12, "cannot find `Y` in this scope"},
		{"dir/b.proto", 3, 18, "field number `1` used more than once"},
	}, found.Mistakes)
}

func TestACycleOfImportsIsToldOnce(t *testing.T) {
	t.Parallel()
	for range 200 {
		_, err := Compile(context.Background(), &texts{
			"a.proto": "syntax = \"proto3\";\nimport \"b.proto\";\n",
			"b.proto": "syntax = \"proto3\";\nimport \"a.proto\";\n",
		}, []string{"a.proto", "b.proto"})
		var mistakes *MistakesError
		require.ErrorAs(t, err, &mistakes)
		require.Len(t, mistakes.Mistakes, 1, err.Error())
		require.Contains(t, err.Error(), "detected cyclic import")
	}
}

func TestAnErrorOfTheSourcesIsReturned(t *testing.T) {
	t.Parallel()
	_, err := Compile(context.Background(), failing{}, []string{"a.proto"})
	assert.ErrorContains(t, err, "the disk is broken")
}

type failing struct{}

func (failing) Source(string) (Source, error) { return Source{}, errors.New("the disk is broken") }

// The descriptors, with positions and comments, are those of buf's images of this repository.
func TestDescriptorsAreThoseOfBuf(t *testing.T) {
	t.Parallel()
	const codegen = "../../../../internal/codegen/"
	for _, name := range []string{"mistakes/image.binpb", "golden/image.binpb"} {
		data, err := os.ReadFile(codegen + name)
		require.NoError(t, err)
		image := &descriptorpb.FileDescriptorSet{}
		require.NoError(t, proto.Unmarshal(data, image))
		sources, paths := texts{}, []string{}
		for _, f := range image.GetFile() {
			text, err := os.ReadFile(filepath.Join(codegen, filepath.Dir(name), f.GetName()))
			require.NoError(t, err)
			sources[f.GetName()] = string(text)
			paths = append(paths, f.GetName())
		}
		set, err := Compile(context.Background(), &sources, paths)
		require.NoError(t, err)
		got := make(map[string]*descriptorpb.FileDescriptorProto)
		again := &descriptorpb.FileDescriptorSet{}
		data, err = proto.MarshalOptions{Deterministic: true}.Marshal(set.Image())
		require.NoError(t, err)
		require.NoError(t, proto.Unmarshal(data, again))
		for _, f := range again.GetFile() {
			got[f.GetName()] = f
		}
		for _, want := range image.GetFile() {
			want.ProtoReflect().SetUnknown(nil) // buf's own notes
			if want.GetName() == "edition2024/edition2024.proto" {
				messages(want)
				messages(got[want.GetName()])
			}
			if !proto.Equal(want, got[want.GetName()]) {
				t.Errorf("%s differs", want.GetName())
			}
		}
	}
}

// messages removes the positions of messages, which begin behind the words export and local
// in buf's compiler, a newer one.
func messages(f *descriptorpb.FileDescriptorProto) {
	const messageOfFile = 4
	for _, location := range f.GetSourceCodeInfo().GetLocation() {
		if path := location.GetPath(); len(path) == 2 && path[0] == messageOfFile {
			location.Span = nil
		}
	}
}
