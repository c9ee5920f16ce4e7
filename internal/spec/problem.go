package spec

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// Problem is a mistake in the options of a service or method.
type Problem struct { //nolint:errname // it reads better among the words of this package
	// Desc is the service or method.
	Desc protoreflect.Descriptor
	// Option is the option at fault, such as "(aegis.v1.method).timeout"; "" if the
	// mistake is in the service or method itself, such as in its name.
	Option string
	// Path is Option as field numbers, beginning with the number of the Aegis option.
	Path protoreflect.SourcePath
	// Text says what is wrong, and after a semicolon what to write instead.
	Text string
}

// Error returns the descriptor's full name, the option and the text.
func (p *Problem) Error() string {
	return fmt.Sprintf("%s: %s", p.Desc.FullName(), p.Message())
}

// Message returns the option and the text, for an error that has the position of the
// descriptor in place of its name.
func (p *Problem) Message() string {
	if p.Option == "" {
		return p.Text
	}
	return p.Option + ": " + p.Text
}

// Problems returns the problems that an error of [FromDescriptor] joins.
func Problems(err error) []*Problem {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var all []*Problem
		for _, e := range joined.Unwrap() {
			all = append(all, Problems(e)...)
		}
		return all
	}
	if problem, ok := errors.AsType[*Problem](err); ok {
		return []*Problem{problem}
	}
	return nil
}

// Place is the place of an option: a service or method, and a path into its options.
type Place struct {
	desc    protoreflect.Descriptor
	option  string
	path    protoreflect.SourcePath
	message protoreflect.MessageDescriptor
}

// At returns the place of a service or a method as a whole, not of an option.
func At(desc protoreflect.Descriptor) Place {
	return Place{desc: desc}
}

// AtOptions returns the place of the Aegis option of a service or method.
func AtOptions(desc protoreflect.Descriptor) Place {
	ext := aegisv1.E_Method.TypeDescriptor()
	if _, ok := desc.(protoreflect.ServiceDescriptor); ok {
		ext = aegisv1.E_Service.TypeDescriptor()
	}
	return Place{
		desc:    desc,
		option:  "(" + string(ext.FullName()) + ")",
		path:    protoreflect.SourcePath{int32(ext.Number())},
		message: ext.Message(),
	}
}

// Option returns the option's path in words, such as
// "(aegis.v1.method).timeout".
func (p Place) Option() string {
	return p.option
}

// Field returns the place of a field of the option, or the place itself if the option
// has no such field.
func (p Place) Field(name protoreflect.Name) Place {
	if p.message == nil {
		return p
	}
	field := p.message.Fields().ByName(name)
	if field == nil {
		return p
	}
	return Place{
		desc:    p.desc,
		option:  p.option + "." + string(name),
		path:    append(slices.Clip(p.path), int32(field.Number())),
		message: field.Message(),
	}
}

// Problem returns a problem at the place.
func (p Place) Problem(format string, args ...any) *Problem {
	return &Problem{Desc: p.desc, Option: p.option, Path: p.path, Text: fmt.Sprintf(format, args...)}
}

// checker collects the problems of a service, so that all are reported at once.
type checker struct {
	problems []*Problem
}

func (c *checker) addf(p Place, format string, args ...any) {
	c.problems = append(c.problems, p.Problem(format, args...))
}
