package codegen_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aegisrpc/aegis/internal/codegen"
)

const mistakesDir = "mistakes"

// Each case is a folder with .proto files and, in want.txt, exactly what the
// plugin says about them.
func TestMistakesAreReportedWithTextAndPosition(t *testing.T) {
	t.Parallel()
	files := readImage(t, mistakesDir)
	for _, name := range mistakeCases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp := codegen.New(codegen.Version).Respond(requestFor(files, "", name+"/"))
			if len(resp.GetFile()) > 0 {
				t.Errorf("%d files are generated in spite of the mistakes", len(resp.GetFile()))
			}
			compareWithFile(t, filepath.Join(mistakesDir, name, "want.txt"), resp.GetError()+"\n")
		})
	}
}

// One run reports the mistakes of all its files, in the order of the files.
func TestMistakesOfAllFilesAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	var want []string
	for _, name := range mistakeCases(t) {
		data, err := os.ReadFile(filepath.Join(mistakesDir, name, "want.txt"))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, strings.TrimSpace(string(data)))
	}
	resp := codegen.New(codegen.Version).Respond(requestFor(readImage(t, mistakesDir), "", ""))
	if diff := firstDifference(strings.Join(want, "\n"), resp.GetError()); diff != "" {
		t.Error(diff)
	}
}

func mistakeCases(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(mistakesDir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	if len(names) == 0 {
		t.Fatal("no case in " + mistakesDir)
	}
	return names
}

func compareWithFile(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := firstDifference(string(want), got); diff != "" {
		t.Error(diff)
	}
}
