// Package natsversion reads and compares versions of nats-server.
package natsversion

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is the version of a nats-server.
type Version [3]int

// String returns the version as nats-server writes it, such as 2.12.4.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// Before tells whether a version is older than another one.
func (v Version) Before(other Version) bool {
	for i := range v {
		if v[i] != other[i] {
			return v[i] < other[i]
		}
	}
	return false
}

// Parse reads "2.12.4", and "2.12.0-RC.1" as if it were out already.
func Parse(text string) (Version, bool) {
	var v Version
	release, _, _ := strings.Cut(strings.TrimPrefix(text, "v"), "-")
	parts := strings.Split(release, ".")
	if len(parts) != len(v) {
		return v, false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return v, false
		}
		v[i] = int(n)
	}
	return v, true
}
