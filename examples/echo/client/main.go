// Command client calls echo.v1.EchoService at the NATS of NATS_URL, with its arguments as the text.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

func main() {
	conn, err := aegisenv.Connect(context.Background())
	check(err)
	client, err := echov1aegis.NewEchoServiceClient(conn)
	check(err)
	ctx, call := aegis.NewCall(context.Background()) // to set and read metadata
	call.RequestHeader().Set("tenant", "acme")
	resp, err := client.Echo(ctx, &echov1.EchoRequest{Text: strings.Join(os.Args[1:], " ")})
	check(err)
	fmt.Printf("%s (from %s, served for %s)\n", resp.GetText(), resp.GetInstance(), call.ResponseHeader().Get("served-for"))
}

func check(err error) {
	if err != nil {
		log.Fatalln("echo client:", err) // of a failed call: its code and message
	}
}
