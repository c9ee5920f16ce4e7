// Command demo shows what Aegis promises with real processes, a real NATS server
// and real faults. It ends with status 0 if all went as promised, and leaves
// neither a process nor a file behind. It needs a Unix system. `aegis demo` is the same.
package main

import (
	"github.com/aegisrpc/aegis/internal/demo"
	"github.com/aegisrpc/aegis/internal/program"
)

func main() { program.Main("demo", demo.Run) }
