package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/aegisrpc/aegis/internal/codegen"
)

// invoke runs the program and returns its exit status and what it printed.
func invoke(stdin []byte, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(args, bytes.NewReader(stdin), &out, &errs)
	return status, out.String(), errs.String()
}

const againstDir = "../../internal/codegen/against/"

func TestAgainstFailsForWhatBreaks(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile(againstDir + "want.txt")
	if err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := invoke(nil, "--against", againstDir+"before.binpb", againstDir+"after.binpb")
	if status != 1 || stdout != string(want) || stderr != "protoc-gen-aegis: 15 changes break what runs or what is stored\n" {
		t.Errorf("status %d, stderr %q, stdout %q", status, stderr, stdout)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{"--version"}, 0, "protoc-gen-aegis " + codegen.Version + "\n", ""},
		{[]string{"-version"}, 0, "protoc-gen-aegis " + codegen.Version + "\n", ""},
		{[]string{"--help"}, 0, usage + "\n", ""},
		{[]string{"-h"}, 0, usage + "\n", ""},
		{[]string{"--verbose"}, 1, "", "protoc-gen-aegis: flag provided but not defined: -verbose\n" + usage + "\n"},
		{[]string{"echo.proto"}, 1, "", "protoc-gen-aegis: unexpected argument \"echo.proto\"\n" + usage + "\n"},
		{[]string{"--export-protos"}, 1, "", "protoc-gen-aegis: flag needs an argument: -export-protos\n" + usage + "\n"},
		{[]string{"--against", "before.binpb"}, 1, "", "protoc-gen-aegis: --against needs two images, such as --against before.binpb after.binpb\n"},
		{[]string{"--against", "", "after.binpb"}, 1, "", "protoc-gen-aegis: --against needs two images, such as --against before.binpb after.binpb\n"},
		{[]string{"--against", "nowhere", "after.binpb"}, 1, "", "protoc-gen-aegis: read the image of before: open nowhere: no such file or directory\n"},
		{[]string{"--against", againstDir + "after.binpb", againstDir + "after.binpb"}, 0, "", ""},
		{[]string{"--export-protos", ""}, 1, "", "protoc-gen-aegis: --export-protos needs a directory, such as --export-protos proto\n"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			status, stdout, stderr := invoke(nil, test.args...)
			if status != test.status || stdout != test.stdout || stderr != test.stderr {
				t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
			}
		})
	}
}

func TestWithoutArgumentsItIsAPlugin(t *testing.T) {
	t.Parallel()
	request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{Parameter: proto.String("unknown")})
	if err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := invoke(request)
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal([]byte(stdout), response); err != nil {
		t.Fatal(err)
	}
	if status != 0 || stderr != "" || !strings.HasPrefix(response.GetError(), `unknown parameter "unknown"; `) {
		t.Errorf("status %d, stderr %q, error %q", status, stderr, response.GetError())
	}
	status, stdout, stderr = invoke([]byte("\xff"))
	if status != 1 || stdout != "" || !strings.HasPrefix(stderr, "protoc-gen-aegis: standard input holds no request of a compiler") {
		t.Errorf("rubbish: status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}

func TestExportedProtosAreThoseOfTheRepository(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "proto")
	outdated := filepath.Join(dir, "aegis", "v1", "options.proto")
	if err := os.MkdirAll(filepath.Dir(outdated), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outdated, []byte("// outdated, and longer than nothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := invoke(nil, "--export-protos", dir)
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, stderr %q", status, stderr)
	}
	originals, err := filepath.Glob("../../proto/aegis/v1/*.proto")
	if err != nil || len(originals) == 0 {
		t.Fatalf("no protos: %v", err)
	}
	for _, original := range originals {
		exported := filepath.Join(dir, "aegis", "v1", filepath.Base(original))
		want, err := os.ReadFile(original)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(exported)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not %s: %v", exported, original, err)
		}
		if !strings.Contains(stdout, exported+"\n") {
			t.Errorf("%s is not named: %q", exported, stdout)
		}
	}
	if exported, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*")); len(exported) != len(originals) {
		t.Errorf("%d files are exported, want %d", len(exported), len(originals))
	}
}

func TestExportToAnImpossiblePlaceIsAnError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	status, _, stderr := invoke(nil, "--export-protos", file)
	if status != 1 || !strings.HasPrefix(stderr, "protoc-gen-aegis: export the .proto files: ") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}
