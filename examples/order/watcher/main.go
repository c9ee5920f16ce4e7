// Command watcher follows the accepted orders, as a risk service, of which one
// instance checks each order, or as a monitor, of which each instance sees all.
package main

import (
	"github.com/aegisrpc/aegis/examples/order/orderwatcher"
	"github.com/aegisrpc/aegis/internal/program"
)

func main() { program.Main("order watcher", orderwatcher.Run) }
