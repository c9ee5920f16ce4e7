package codegen

import (
	"go/build/constraint"
	"strings"
	"unicode/utf8"

	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/compiler/protogen"
)

// comment is a comment as lines without their slashes.
type comment []string

// commentWidth is the greatest length of a line in the generator's own comments.
const commentWidth = 77

// unwritable removes the characters that Go refuses anywhere in a source file, and
// carriage returns, which gofmt removes.
var unwritable = strings.NewReplacer("\x00", "", "\ufeff", "", "\r", "")

// newComment returns a comment of a .proto file as a comment of Go. It is safe whatever
// the text: every line gets slashes of its own, so that a "*/" does not end the comment,
// and no line becomes a directive such as //go:embed.
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

// wrap breaks a paragraph into lines of at most commentWidth characters, unless a word is
// longer.
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

// paragraphs joins comments, with an empty line between each two.
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

// lines returns the comment's lines with slashes, as jennifer writes them unchanged.
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
		// gofmt turns such a line into a build constraint, wherever it stands.
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
