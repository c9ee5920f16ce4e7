// Package testonly keeps package aegistest out of products: a program that is no test and
// imports it panics when it starts. It is a package of its own because packages begin with
// those that they import, and because a test can link it within a second.
package testonly

import "testing"

func init() { //nolint:gochecknoinits // nothing else is sure to run
	if !testing.Testing() {
		panic("aegistest: this program is no test, and links github.com/aegisrpc/aegis/runtime/aegistest; " + //nolint:forbidigo // nobody takes an error
			"import that in _test.go files alone")
	}
}
