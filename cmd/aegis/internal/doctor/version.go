package doctor

import (
	"fmt"
	"strconv"
	"strings"
)

// version is the version of a nats-server.
type version [3]int

// The oldest servers with which a pattern works, as docs/protocol.md has them.
var (
	oldestForCalls      = version{2, 9, 0}
	oldestForPartitions = version{2, 10, 0} // the number of partitions is compared from here on
	oldestForTracing    = version{2, 11, 0} // a message can be sent that NATS delivers to nobody
	oldestForCommands   = version{2, 12, 0}
)

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v version) before(other version) bool {
	for i := range v {
		if v[i] != other[i] {
			return v[i] < other[i]
		}
	}
	return false
}

// parseVersion reads "2.12.4", and "2.12.0-RC.1" as if it were out already.
func parseVersion(text string) (version, bool) {
	var v version
	release, _, _ := strings.Cut(strings.TrimPrefix(text, "v"), "-")
	parts := strings.Split(release, ".")
	if len(parts) != len(v) {
		return v, false
	}
	for i, part := range parts {
		var err error
		if v[i], err = strconv.Atoi(part); err != nil || v[i] < 0 {
			return v, false
		}
	}
	return v, true
}
