package provider

import (
	"fmt"
	"reflect"
)

// Implements reports whether impl, an implementation of the interface S, has the method
// that lookup finds from elsewhere than the stub which generated code has for S. The
// error says that a call of the method would panic; it calls the method by its name.
func Implements[S any](impl S, method string, lookup Lookup) (bool, error) {
	face := reflect.TypeFor[S]()
	stub := "Unimplemented" + face.Name() // the generator names it so
	isStub := func(t reflect.Type) bool { return t.Name() == stub && t.PkgPath() == face.PkgPath() }
	switch Of(impl, lookup, isStub) {
	case Stub:
		return false, nil
	case Nil:
		return false, fmt.Errorf("a nil pointer or interface is embedded in %T that %s would be called on, which is a panic; "+
			"embed %s by value, or set what is embedded", impl, method, stub)
	default:
		return true, nil
	}
}
