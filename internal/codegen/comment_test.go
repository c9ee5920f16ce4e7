package codegen_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/internal/codegen"
)

// FuzzComment puts any text into the comment of a service and of a method: it
// never becomes code or a directive.
func FuzzComment(f *testing.F) {
	for _, seed := range []string{
		"", " ", "plain", " a\n b\n", "*/ func init() {} /*", "go:embed x", "line x.go:1", "export F", "\x00", "\ufeff", "\r\nfunc init() {}",
		"\u2028func init() {}", "\t code", "# heading", "\xff", "Deprecated: no", "+build ignore", " - list\n   - of lists", "\n\n\n",
	} {
		f.Add(seed)
	}
	want := declarations(f, "")
	f.Fuzz(func(t *testing.T, text string) {
		if got := declarations(t, text); got != want {
			t.Errorf("%d declarations, want %d", got, want)
		}
	})
}

// declarations generates code for a service with a comment and counts what it
// declares.
func declarations(t testing.TB, text string) int {
	t.Helper()
	files := hundredServices()[:1]
	files[0].SourceCodeInfo = &descriptorpb.SourceCodeInfo{}
	for _, path := range [][]int32{{6, 0}, {6, 0, 2, 0}} {
		files[0].SourceCodeInfo.Location = append(files[0].SourceCodeInfo.Location, &descriptorpb.SourceCodeInfo_Location{
			Path: path, Span: []int32{0, 0, 1}, LeadingComments: proto.String(text),
		})
	}
	resp := codegen.New("1").Respond(requestFor(files, "", ""))
	if resp.Error != nil || len(resp.GetFile()) != 1 {
		t.Fatalf("error %q and %d files, want one file", resp.GetError(), len(resp.GetFile()))
	}
	content := resp.GetFile()[0].GetContent()
	parsed, err := parser.ParseFile(token.NewFileSet(), "x.go", content, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range parsed.Comments {
		for _, c := range group.List {
			if after := strings.TrimPrefix(c.Text, "//"); after != "" && !strings.HasPrefix(after, " ") && !strings.HasPrefix(after, "\t") {
				t.Errorf("%q could be a directive", c.Text)
			}
		}
	}
	count := len(parsed.Decls)
	ast.Inspect(parsed, func(n ast.Node) bool {
		if _, ok := n.(ast.Stmt); ok {
			count++
		}
		return true
	})
	return count
}
