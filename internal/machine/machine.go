// Package machine says what a measurement ran on, for the head of a report.
package machine

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// The modules whose versions reports name.
const (
	NATSClient = "github.com/nats-io/nats.go"
	NATSServer = "github.com/nats-io/nats-server/v2"
	Protobuf   = "google.golang.org/protobuf"
)

// Versions returns the versions of these modules that this program is built with.
// Modules that it does not use are left out.
func Versions(modules ...string) map[string]string {
	versions := make(map[string]string)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	for _, of := range modules {
		for _, m := range info.Deps {
			if m.Path == of {
				versions[of] = m.Version
			}
		}
	}
	return versions
}

// LoadAverages returns the load averages as Linux prints them, "" elsewhere.
func LoadAverages() string { return firstLine("/proc/loadavg") }

// Kernel returns the release of the Linux kernel, "" elsewhere.
func Kernel() string { return firstLine("/proc/sys/kernel/osrelease") }

func firstLine(path string) string {
	data, _ := os.ReadFile(path) //nolint:gosec // one of the two above; unknown if it cannot be read
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

// Processor returns the processor's name as Linux has it, elsewhere the architecture.
func Processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close() //nolint:errcheck // only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
