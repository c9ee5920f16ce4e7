// Command psrpc plays the roles of psrpc in the benchmark: a service and a client
// of one stream, as psrpc's generated code makes them. internal/bench builds and
// starts it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/livekit/psrpc"
	"github.com/livekit/psrpc/pkg/bus/natsbus"
	"github.com/livekit/psrpc/pkg/client"
	"github.com/livekit/psrpc/pkg/info"
	"github.com/livekit/psrpc/pkg/rand"
	"github.com/livekit/psrpc/pkg/server"
	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
)

const (
	service = "bench"
	method  = "Pull"
	// late is when a message is taken to be lost.
	late = 10 * time.Second
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != child.Command {
		fmt.Fprintln(os.Stderr, "psrpc: it is started by internal/bench")
		os.Exit(2)
	}
	err := child.Run(map[string]child.Start{"psrpc-service": startService, "psrpc-client": startClient}, os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "psrpc:", err)
		os.Exit(1)
	}
}

// definition is what generated code says of the service.
func definition(id string) *info.ServiceDefinition {
	sd := &info.ServiceDefinition{Name: service, ID: id}
	sd.RegisterMethod(method, false, false, true, true)
	return sd
}

func startService(url string) (map[string]child.Op, func(), error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	srv := server.NewRPCServer(definition(rand.NewServerID()), natsbus.New(nc))
	err = server.RegisterStreamHandler[*benchv1.PullRequest, *benchv1.PullResponse](srv, method, nil, pull, nil)
	if err == nil {
		err = nc.Flush()
	}
	return map[string]child.Op{}, func() { srv.Close(false); nc.Close() }, err
}

// pull sends what the first message asks for.
func pull(s psrpc.ServerStream[*benchv1.PullResponse, *benchv1.PullRequest]) error {
	req, ok := <-s.Channel()
	if !ok {
		return s.Err()
	}
	for n := range req.GetMessages() {
		if err := s.Send(&benchv1.PullResponse{Number: n + 1, Text: req.GetText()}); err != nil {
			return err
		}
	}
	return nil
}

func startClient(url string) (map[string]child.Op, func(), error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	c, err := client.NewRPCClientWithStreams(definition(rand.NewClientID()), natsbus.New(nc))
	if err != nil {
		return nil, nil, err
	}
	return map[string]child.Op{
		"pull": child.Typed(func(o child.Flow) (*child.FlowResult, error) {
			return child.MeasureFlow(o, func() error { return pullAll(c, o) })
		}),
	}, func() { c.Close(); nc.Close() }, nil
}

func pullAll(c *client.RPCClient, o child.Flow) error {
	s, err := client.OpenStream[*benchv1.PullRequest, *benchv1.PullResponse](context.Background(), c, method, nil)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close(nil) }() // the server has closed it by then
	// As large as Aegis' messages are: tags, lengths and the number take 6 bytes.
	req := &benchv1.PullRequest{Messages: o.Messages, Text: strings.Repeat(".", o.Bytes-6)}
	if err := s.Send(req); err != nil {
		return err
	}
	overdue := time.NewTimer(late)
	defer overdue.Stop()
	for n := range o.Messages {
		select {
		case res, ok := <-s.Channel():
			switch {
			case !ok:
				return fmt.Errorf("%d of %d messages came: %w", n, o.Messages, s.Err())
			case res.GetNumber() != n+1:
				return fmt.Errorf("message %d has number %d", n+1, res.GetNumber())
			}
		case <-overdue.C:
			return errors.New("messages are missing")
		}
	}
	return nil
}
