// Package usertest has no code: its test follows the quick start of docs/buf.md in an
// empty folder. `make usertest` runs it; it is not part of `make test`, as it
// builds buf.
package usertest
