package codegen

import (
	"strings"

	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// documented is a declaration of a .proto file that has a comment. The descriptors that are
// linked into a program have no comments, so that generated code carries them.
type documented struct {
	name string // the full name without the package
	text string
}

// documentedIn returns the declarations of a file that have comments, in the order of the
// file: services with their methods, messages with their fields, and enums with their
// values.
func documentedIn(f *protogen.File) []documented {
	d := &documenter{pkg: f.Desc.Package()}
	for _, s := range f.Services {
		d.add(s.Desc, s.Comments)
		for _, m := range s.Methods {
			d.add(m.Desc, m.Comments)
		}
	}
	d.messages(f.Messages)
	d.enums(f.Enums)
	return d.found
}

// documenter collects the declarations that have comments.
type documenter struct {
	pkg   protoreflect.FullName
	found []documented
}

// add adds a declaration if it has a comment: one before it, or else one behind it in the
// same line.
func (d *documenter) add(desc protoreflect.Descriptor, comments protogen.CommentSet) {
	text := newComment(comments.Leading)
	if len(text) == 0 {
		text = newComment(comments.Trailing)
	}
	if len(text) == 0 {
		return
	}
	name := string(desc.FullName())
	if d.pkg != "" {
		name = strings.TrimPrefix(name, string(d.pkg)+".")
	}
	d.found = append(d.found, documented{name, strings.Join(text, "\n")})
}

func (d *documenter) messages(messages []*protogen.Message) {
	for _, m := range messages {
		d.add(m.Desc, m.Comments)
		for _, f := range m.Fields {
			d.add(f.Desc, f.Comments)
		}
		for _, o := range m.Oneofs {
			d.add(o.Desc, o.Comments)
		}
		d.messages(m.Messages)
		d.enums(m.Enums)
	}
}

func (d *documenter) enums(enums []*protogen.Enum) {
	for _, e := range enums {
		d.add(e.Desc, e.Comments)
		for _, v := range e.Values {
			d.add(v.Desc, v.Comments)
		}
	}
}

// emitComments adds the variable with the comments of the .proto file.
func emitComments(g *jen.Group, f *file) {
	if len(f.documented) == 0 {
		return
	}
	variable := f.services[0].comments
	wrap(variable + " are the comments of " + f.source + ", which servers hand out with the descriptors of their services.").write(g)
	var comments []jen.Code
	for _, d := range f.documented {
		comments = append(comments, jen.Values(jen.Id("Name").Op(":").Lit(d.name), jen.Id("Text").Op(":").Add(d.literal())))
	}
	g.Var().Id(variable).Op("=").Index().Add(aegis("Comment")).Add(multiLine(comments))
	g.Line()
}

// literal returns the text as a constant with a line for each of its lines.
func (d documented) literal() *jen.Statement {
	literal := new(jen.Statement)
	for line := range strings.SplitAfterSeq(d.text, "\n") {
		if len(*literal) > 0 {
			literal.Op("+").Line()
		}
		literal.Lit(line)
	}
	return literal
}
