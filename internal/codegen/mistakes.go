package codegen

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
)

// mistake is a mistake at a position in a .proto file.
type mistake struct {
	path         string
	line, column int // from 1 on; 0 when the compiler gave no positions
	text         string
}

// Error returns the mistake as compilers write theirs.
func (m *mistake) Error() string {
	if m.line == 0 {
		return fmt.Sprintf("%s: %s", m.path, m.text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", m.path, m.line, m.column, m.text)
}

// mistakes collects the mistakes of a run.
type mistakes struct {
	all []*mistake
}

func (ms *mistakes) add(problems ...*spec.Problem) {
	for _, p := range problems {
		m := &mistake{path: p.Desc.ParentFile().Path(), text: p.Message()}
		if loc, ok := locate(p); ok {
			m.line, m.column = loc.StartLine+1, loc.StartColumn+1
		} else {
			m.text = fmt.Sprintf("%s: %s", p.Desc.FullName(), m.text)
		}
		ms.all = append(ms.all, m)
	}
}

// err joins the mistakes in the order of their positions; nil without any.
func (ms *mistakes) err() error {
	ms.sort()
	errs := make([]error, len(ms.all))
	for i, m := range ms.all {
		errs[i] = m
	}
	return errors.Join(errs...)
}

func (ms *mistakes) sort() {
	slices.SortStableFunc(ms.all, func(a, b *mistake) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.line, b.line),
			cmp.Compare(a.column, b.column), cmp.Compare(a.text, b.text))
	})
}

// locate finds the option statement that a problem is about; without one, the
// service or method.
func locate(p *spec.Problem) (protoreflect.SourceLocation, bool) {
	locations := p.Desc.ParentFile().SourceLocations()
	options := descriptorPath(p.Desc)
	// Compilers know statements, not the fields inside their braces: the
	// nearest statement is the longest one that is part of the path.
	for n := len(p.Path); n > 0; n-- {
		path := append(slices.Clone(options), p.Path[:n]...)
		if loc := locations.ByPath(path); loc.Path != nil {
			return loc, true
		}
		if loc, ok := firstBelow(locations, path); ok {
			return loc, true
		}
	}
	loc := locations.ByDescriptor(p.Desc)
	return loc, loc.Path != nil
}

// firstBelow finds the first statement that sets a part of what path names.
func firstBelow(locations protoreflect.SourceLocations, path protoreflect.SourcePath) (protoreflect.SourceLocation, bool) {
	for i := range locations.Len() {
		loc := locations.Get(i)
		if len(loc.Path) > len(path) && slices.Equal(loc.Path[:len(path)], path) {
			return loc, true
		}
	}
	return protoreflect.SourceLocation{}, false
}

// The field numbers of descriptor.proto that lead to the options.
const (
	serviceOfFile    = 6
	methodOfService  = 2
	optionsOfService = 3
	optionsOfMethod  = 4
)

// descriptorPath is the path of the options of a service or method.
func descriptorPath(desc protoreflect.Descriptor) protoreflect.SourcePath {
	switch desc := desc.(type) {
	case protoreflect.ServiceDescriptor:
		return protoreflect.SourcePath{serviceOfFile, int32(desc.Index()), optionsOfService}
	case protoreflect.MethodDescriptor:
		return protoreflect.SourcePath{serviceOfFile, int32(desc.Parent().Index()), methodOfService, int32(desc.Index()), optionsOfMethod}
	default:
		return nil
	}
}
