// Command server serves echo.v1.EchoService until it is interrupted.
package main

import (
	"github.com/aegisrpc/aegis/examples/echo/echoserver"
	"github.com/aegisrpc/aegis/internal/program"
)

func main() { program.Main("echo server", echoserver.Run) }
