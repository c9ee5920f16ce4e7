// Command protoc-gen-aegis is a plugin of buf and protoc that generates typed
// clients and servers over NATS from the services of .proto files.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
