// Command product is no test.
package main

import (
	"fmt"

	_ "github.com/aegisrpc/aegis/runtime/aegistest/internal/testonly"
)

func main() { fmt.Println("it runs") }
