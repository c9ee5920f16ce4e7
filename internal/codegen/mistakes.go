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

// Error returns the mistake in the format of a compiler's error.
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

// add adds the problems that spec has found, with their positions.
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

// err returns the mistakes joined in the order of their positions; nil for none.
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

// locate returns the position of the option that a problem is about, or of the service or
// method if the problem is about no option or the option has no position.
func locate(p *spec.Problem) (protoreflect.SourceLocation, bool) {
	locations := p.Desc.ParentFile().SourceLocations()
	options := descriptorPath(p.Desc)
	// Compilers record the positions of statements, not of the fields inside their
	// braces. The nearest statement is the one with the longest part of the path.
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

// firstBelow returns the position of the first statement that sets a field below path.
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

// descriptorPath returns the path from the file to the options of a service or method.
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
