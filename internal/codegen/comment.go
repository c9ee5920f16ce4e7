package codegen

import (
	"go/build/constraint"
	"strings"
	"unicode/utf8"

	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/compiler/protogen"
)

// comment is a comment line by line, without the slashes.
type comment []string

// commentWidth is where the generator's own comments are wrapped.
const commentWidth = 77

// unwritable is what Go refuses anywhere in a source file, and carriage
// returns, which gofmt removes.
var unwritable = strings.NewReplacer("\x00", "", "\ufeff", "", "\r", "")

// newComment takes over a comment of a .proto file. The result is safe in Go:
// every line gets slashes of its own, so that no "*/" can end it, and no line
// becomes a directive such as //go:embed.
func newComment(text protogen.Comments) comment {
	clean := unwritable.Replace(strings.ToValidUTF8(string(text), "\ufffd"))
	clean = strings.TrimRight(clean, " \t\n")
	if strings.TrimSpace(clean) == "" {
		return nil
	}
	lines := strings.Split(clean, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimRight(line, " \t"), " ")
	}
	return lines
}

// wrap breaks a paragraph of the generator's own into lines.
func wrap(paragraph string) comment {
	var lines comment
	line := ""
	for word := range strings.FieldsSeq(paragraph) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > commentWidth:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// paragraphs puts comments one after the other, with an empty line between.
func paragraphs(parts ...comment) comment {
	var all comment
	for _, part := range parts {
		if len(part) == 0 {
			continue
		}
		if len(all) > 0 {
			all = append(all, "")
		}
		all = append(all, part...)
	}
	return all
}

// deprecated adds the paragraph by which Go tools know a deprecated identifier, unless
// the comment has one: of is what the .proto file marks as deprecated.
func (c comment) deprecated(is bool, of string) comment {
	if !is {
		return c
	}
	for _, line := range c {
		if strings.HasPrefix(line, "Deprecated:") {
			return c
		}
	}
	return paragraphs(c, wrap("Deprecated: "+of+" is marked as deprecated."))
}

// lines are the comment's lines as jennifer takes them over unchanged.
func (c comment) lines() []string {
	lines := make([]string, len(c))
	for i, line := range c {
		switch {
		case line == "":
			lines[i] = "//"
		case line[0] == '\t':
			lines[i] = "//" + line
		default:
			lines[i] = "// " + line
		}
		// gofmt makes a build constraint of it, wherever it stands.
		if constraint.IsPlusBuild(lines[i]) {
			lines[i] = "// `" + strings.TrimSpace(line) + "`"
		}
	}
	return lines
}

// write adds the comment to a block.
func (c comment) write(g *jen.Group) {
	for _, line := range c.lines() {
		g.Comment(line)
	}
}
