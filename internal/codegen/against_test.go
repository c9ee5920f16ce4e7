package codegen_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/internal/codegen"
)

const againstDir = "against"

func againstImage(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(againstDir, name+".binpb"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Each change that breaks something is reported with its position, the old value, the
// new one and what to do: want.txt has all of them.
func TestChangesThatBreakAreTold(t *testing.T) {
	t.Parallel()
	changes, err := codegen.Against(againstImage(t, "before"), againstImage(t, "after"))
	if err != nil {
		t.Fatal(err)
	}
	compareWithFile(t, filepath.Join(againstDir, "want.txt"), strings.Join(changes, "\n")+"\n")
}

func TestWhatHasNotChangedBreaksNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"before", "after"} {
		changes, err := codegen.Against(againstImage(t, name), againstImage(t, name))
		if err != nil || len(changes) > 0 {
			t.Errorf("%s: %v, %v", name, changes, err)
		}
	}
}

func TestImagesThatCannotBeComparedAreErrors(t *testing.T) {
	t.Parallel()
	whole := againstImage(t, "after")
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(whole, set); err != nil {
		t.Fatal(err)
	}
	set.File = set.GetFile()[len(set.GetFile())-1:] // without its imports
	bare, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		before, after []byte
		want          string
	}{
		"no image":   {[]byte("\xff"), whole, "the image of before: it is no image: build it with buf build"},
		"no imports": {whole, bare, "the image of now: its imports have to be in it"},
	} {
		if _, err := codegen.Against(test.before, test.after); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The parameter makes the plugin refuse a change that breaks something. A run for other
// files says nothing about services that it cannot see.
func TestPluginRefusesWhatBreaks(t *testing.T) {
	t.Parallel()
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(againstImage(t, "after"), set); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(againstDir, "want.txt"))
	if err != nil {
		t.Fatal(err)
	}
	run := func(image, folder string) string {
		return codegen.New(codegen.Version).Respond(requestFor(set.GetFile(), "against="+filepath.Join(againstDir, image), folder)).GetError()
	}
	if diff := firstDifference(strings.TrimSpace(string(want)), run("before.binpb", "desk/")); diff != "" {
		t.Error(diff)
	}
	if got := run("after.binpb", "desk/"); got != "" {
		t.Error(got)
	}
	if got := run("before.binpb", "google/"); got != "" {
		t.Error(got)
	}
	if got := run("nowhere.binpb", "desk/"); !strings.HasPrefix(got, "parameter against: open") {
		t.Error(got)
	}
	if got := codegen.New(codegen.Version).Respond(requestFor(set.GetFile(), "against=", "desk/")).GetError(); !strings.Contains(got, "needs an image") {
		t.Error(got)
	}
}
