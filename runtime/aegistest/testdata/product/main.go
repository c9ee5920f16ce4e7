// Command product imports aegistest, which no product may.
package main

import (
	"fmt"

	_ "github.com/aegisrpc/aegis/runtime/aegistest"
)

func main() { fmt.Println("it runs") }
