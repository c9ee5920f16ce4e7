package roles

import (
	"context"
	"maps"

	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
	"github.com/aegisrpc/aegis/internal/bench/gen/bench/v1/benchv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// The parts of an instance at rest, which nobody calls: what each of them costs is the
// difference to an instance without it. All but RestConnection serve calls besides.
const (
	RestConnection = "rest-connection" // no server
	RestCalls      = "rest-calls"
	RestGroup      = "rest-group" // one group: the first instance leads it, others stand by
	RestCore       = "rest-core"
	RestDurable    = "rest-durable"
	RestKeyed8     = "rest-keyed-8"
	RestKeyed16    = "rest-keyed-16"
	RestCommand    = "rest-command"
	// RestWhole has a group, and two keyed events of eight partitions each.
	RestWhole = "rest-whole"
)

// restRoles are the roles of instances at rest, by their names.
func restRoles() map[string]child.Start {
	roles := map[string]child.Start{RestConnection: startRestConnection}
	for name, register := range map[string]func(*aegis.Server) error{
		RestCalls:   func(*aegis.Server) error { return nil },
		RestGroup:   registerGroup,
		RestCore:    subscribes(benchv1aegis.MessageServiceEvents{Ticked: ignore}),
		RestDurable: subscribes(benchv1aegis.MessageServiceEvents{Stored: ignore}),
		RestKeyed8:  subscribes(benchv1aegis.MessageServiceEvents{EightKeys: ignore}),
		RestKeyed16: subscribes(benchv1aegis.MessageServiceEvents{ManyKeys: ignore}),
		RestCommand: func(srv *aegis.Server) error {
			return benchv1aegis.RegisterMessageServiceServer(srv, messageServer{})
		},
		RestWhole: func(srv *aegis.Server) error {
			if err := registerGroup(srv); err != nil {
				return err
			}
			return subscribes(benchv1aegis.MessageServiceEvents{EightKeys: ignore, OtherKeys: ignore})(srv)
		},
	} {
		roles[name] = startRest(register)
	}
	return roles
}

// with adds roles to others.
func with(roles, more map[string]child.Start) map[string]child.Start {
	maps.Copy(roles, more)
	return roles
}

func startRestConnection(url string) (map[string]child.Op, func(), error) {
	conn, err := connect(url)
	if err != nil {
		return nil, nil, err
	}
	return map[string]child.Op{}, closing(conn), nil
}

// startRest returns a role that serves calls, and what register adds.
func startRest(register func(*aegis.Server) error) child.Start {
	return func(url string) (map[string]child.Op, func(), error) {
		return startAegisServer(url, func(srv *aegis.Server) error {
			if err := echov1aegis.RegisterEchoServiceServer(srv, echoServer{}); err != nil {
				return err
			}
			return register(srv)
		})
	}
}

func registerGroup(srv *aegis.Server) error {
	return benchv1aegis.RegisterBenchServiceServer(srv, benchServer{})
}

func subscribes(events benchv1aegis.MessageServiceEvents) func(*aegis.Server) error {
	return func(srv *aegis.Server) error {
		return benchv1aegis.SubscribeMessageServiceEvents(srv, events, aegis.Compete("rest"))
	}
}

func ignore(context.Context, *benchv1.MessageRequest) error { return nil }
