package codegen_test

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/internal/codegen"
)

// FuzzComment puts any text into the comment of a service and of a method: it
// never becomes code or a directive, and the generated code carries it as a text.
func FuzzComment(f *testing.F) {
	for _, seed := range []string{
		"", " ", "plain", " a\n b\n", "*/ func init() {} /*", "go:embed x", "line x.go:1", "export F", "\x00", "\ufeff", "\r\nfunc init() {}",
		"\u2028func init() {}", "\t code", "# heading", "\xff", "Deprecated: no", "+build ignore", " - list\n   - of lists", "\n\n\n",
	} {
		f.Add(seed)
	}
	without, _ := declarations(f, "")
	with, _ := declarations(f, "plain") // a variable more
	f.Fuzz(func(t *testing.T, text string) {
		// Go takes these characters nowhere in a source file.
		clean := strings.NewReplacer("\x00", "", "\ufeff", "").Replace(strings.ToValidUTF8(text, "\ufffd"))
		words, want := strings.Fields(clean), without
		if len(words) > 0 {
			want = with
		}
		got, carried := declarations(t, text)
		if got != want {
			t.Errorf("%d declarations, want %d", got, want)
		}
		if got := strings.Fields(carried); !slices.Equal(got, words) {
			t.Errorf("it carries %q in place of %q", got, words)
		}
	})
}

// carriedText returns the text of a comment in the variable with all comments.
func carriedText(t testing.TB, file *ast.File) string {
	t.Helper()
	object := file.Scope.Lookup("benchServiceComments")
	if object == nil {
		return ""
	}
	list := object.Decl.(*ast.ValueSpec).Values[0].(*ast.CompositeLit)
	var texts []string
	for _, e := range list.Elts {
		text := e.(*ast.CompositeLit).Elts[1].(*ast.KeyValueExpr).Value
		value, err := types.Eval(token.NewFileSet(), nil, token.NoPos, types.ExprString(text))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, constant.StringVal(value.Value))
	}
	if len(texts) != 2 || texts[0] != texts[1] {
		t.Fatalf("%q are not the comments of a service and a method", texts)
	}
	return texts[0]
}

// declarations generates code for a service with a comment, counts what it declares, and
// returns the comment that it carries.
func declarations(t testing.TB, text string) (count int, carried string) {
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
	count = len(parsed.Decls)
	ast.Inspect(parsed, func(n ast.Node) bool {
		if _, ok := n.(ast.Stmt); ok {
			count++
		}
		return true
	})
	return count, carriedText(t, parsed)
}
