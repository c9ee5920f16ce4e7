// Command server is one of any number of processes that serve
// order.v1.OrderService; one of them, the leader, handles the calls.
package main

import (
	"github.com/aegisrpc/aegis/examples/order/orderserver"
	"github.com/aegisrpc/aegis/internal/program"
)

func main() { program.Main("order server", orderserver.Run) }
