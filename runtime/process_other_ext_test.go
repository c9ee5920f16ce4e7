//go:build !unix

package aegis_test

// The tests with processes need signals.
func runHelper(string) int { return 2 }
