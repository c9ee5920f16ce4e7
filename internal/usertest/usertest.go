// Package usertest has no code: its test follows the README's quick start in an
// empty folder. `make usertest` runs it; it is not part of `make test`, as it
// builds buf.
package usertest
