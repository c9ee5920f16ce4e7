package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/machine"
)

// printEnvironment says what is measured, and where.
func printEnvironment(w io.Writer) {
	versions := machine.Versions(machine.NATSClient, machine.NATSServer, machine.Protobuf)
	fmt.Fprintf(w, "%s, nats.go %s, nats-server %s, protobuf %s\n", runtime.Version(),
		versions[machine.NATSClient], versions[machine.NATSServer], versions[machine.Protobuf])
	fmt.Fprintf(w, "%s/%s, %d cores of %s, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), machine.Processor(), time.Now().Format(time.DateOnly))
	if load, _, ok := strings.Cut(machine.LoadAverages(), " "); ok {
		fmt.Fprintf(w, "load average of the last minute before the start: %s (others at work make absolute figures, and the flood, worse)\n", load)
	}
}
