package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// printEnvironment says what was measured, and where.
func printEnvironment(w io.Writer) {
	versions := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			versions[m.Path] = m.Version
		}
	}
	fmt.Fprintf(w, "%s, nats.go %s, nats-server %s, protobuf %s\n", runtime.Version(),
		versions["github.com/nats-io/nats.go"], versions["github.com/nats-io/nats-server/v2"], versions["google.golang.org/protobuf"])
	fmt.Fprintf(w, "%s/%s, %d cores of %s, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), processor(), time.Now().Format(time.DateOnly))
	if load, ok := loadAverage(); ok {
		fmt.Fprintf(w, "load average of the last minute before the start: %s (others at work make absolute figures, and the flood, worse)\n", load)
	}
}

// loadAverage is that of the last minute, where there is such a thing.
func loadAverage() (string, bool) {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "", false
	}
	first, _, ok := strings.Cut(string(data), " ")
	return first, ok
}

// processor is what Linux calls it; elsewhere the architecture has to do.
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
