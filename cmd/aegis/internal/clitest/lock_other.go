//go:build !unix

package clitest

// lock does nothing: these tests run on Unix systems.
func lock(string) (unlock func(), err error) { return func() {}, nil }
