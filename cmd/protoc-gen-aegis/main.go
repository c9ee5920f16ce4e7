// Command protoc-gen-aegis is a plugin of buf and protoc that generates typed
// clients and servers over NATS from the services of .proto files.
//
// It refuses a .proto file whose name would keep Go from building what is generated
// from it, such as window_js.proto: Go takes window_js.aegis.go, and window_js.pb.go
// beside it, for files of one operating system alone.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
