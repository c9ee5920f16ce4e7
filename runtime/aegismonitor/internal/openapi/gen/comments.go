package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// comments are what the source of a package says of its types.
type comments struct {
	// text has the comment of each type by its name, and of each field as "Type.Field".
	text map[string]string
	// values are the constants of each type, in order.
	values map[string][]string
}

// readComments reads the source of a package.
func readComments(folder string) (*comments, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	c := &comments{text: make(map[string]string), values: make(map[string][]string)}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				c.readDecl(g)
			}
		}
	}
	return c, nil
}

func (c *comments) readDecl(g *ast.GenDecl) {
	for _, s := range g.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			c.text[s.Name.Name] = sentence(g.Doc, s.Doc)
			if t, ok := s.Type.(*ast.StructType); ok {
				c.readFields(s.Name.Name, t)
			}
		case *ast.ValueSpec:
			of, ok := s.Type.(*ast.Ident)
			if !ok || len(s.Values) != 1 {
				continue
			}
			if value, ok := s.Values[0].(*ast.BasicLit); ok {
				text, _ := strconv.Unquote(value.Value)
				c.values[of.Name] = append(c.values[of.Name], text)
			}
		}
	}
}

func (c *comments) readFields(of string, t *ast.StructType) {
	for _, f := range t.Fields.List {
		for _, name := range f.Names {
			c.text[of+"."+name.Name] = sentence(f.Doc, f.Comment)
		}
	}
}

// sentence returns the first comment that is there, in one line.
func sentence(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if text := strings.Join(strings.Fields(g.Text()), " "); text != "" {
			return text
		}
	}
	return ""
}
