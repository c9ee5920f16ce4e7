// Package boardtest has a board for tests on which there is one of everything.
package boardtest

import (
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
)

// Service and Group name what is on the board.
const (
	Service = "shop.v1.ShopService"
	Group   = "till"

	command, event, subscription = "Pack", "Sold", "books"
)

// Full returns a board as it is at now: three instances, of which one is unhealthy, a reserved
// one and a subscriber, a group whose second leader leads after a gap of 2 s, commands, events,
// streams and dead letters.
func Full(now time.Time) *board.Board {
	start := now.Add(-time.Minute)
	b := board.New(board.Config{Namespace: "test"}, start)
	b.Connected(start, board.Server{Name: "n1", Version: "2.15.2", JetStream: true})
	for _, name := range []monitorapi.SourceName{
		monitorapi.SourceInstances, monitorapi.SourceFigures, monitorapi.SourceLeaders, monitorapi.SourceWork, monitorapi.SourceDeadLetters,
	} {
		b.Source(now, name, monitorapi.SourceReady, "")
	}
	b.Instances(start, []aegis.Instance{
		instance("shop-1"), instance("shop-2"), ill(instance("shop-3")), subscriber(instance("books-1")), reserved(ill(instance("mine"))),
	})
	lead(b, start)
	b.ServiceWork(now, Service, work(now))
	b.DeadLetters(now, Service, []aegisadmin.LetterGroup{
		{Service: Service, Method: command, Reason: "no box", Count: 3, First: start, Last: now, LastSequence: 4},
		{Service: Service, Method: command, Reason: "no tape", Count: 2, First: start, Last: now, LastSequence: 7},
		{Service: Service, Method: event, Consumer: subscription, Reason: "no ink", Count: 1, First: start, Last: now, LastSequence: 1},
	})
	b.Tick(now)
	return b
}

func instance(name string) aegis.Instance {
	return aegis.Instance{Service: Service, Name: name, Process: "process of " + name, Version: "1.0", State: aegis.StateRunning}
}

func ill(i aegis.Instance) aegis.Instance {
	i.Unhealthy = true
	return i
}

func subscriber(i aegis.Instance) aegis.Instance {
	i.Subscriber = true
	return i
}

func reserved(i aegis.Instance) aegis.Instance {
	i.Reserved = true
	return i
}

func lead(b *board.Board, start time.Time) {
	b.Led(start, Service, Group, reigns.Leader{Instance: "shop-1", Process: "process of shop-1", Term: 1})
	b.Released(start.Add(10*time.Second), Service, Group, 1)
	b.Led(start.Add(12*time.Second), Service, Group, reigns.Leader{Instance: "shop-2", Process: "process of shop-2", Term: 2})
}

func work(now time.Time) *board.ServiceWork {
	return &board.ServiceWork{
		Commands: []aegisadmin.CommandMethod{{
			Service: Service, Method: command, Scheduled: 1, Waiting: 7, UnderWay: 5, Redelivered: 2, Oldest: now.Add(-30 * time.Second), Workers: true,
			Levels: []aegisadmin.CommandLevel{{Priority: "high", Waiting: 3, UnderWay: 1}, {Priority: "normal", Waiting: 4, UnderWay: 4}},
		}},
		Work: []aegisadmin.Work{{
			Service: Service, Method: event, Group: subscription,
			Consumers: []aegisadmin.Consumer{{Name: subscription, Pending: 12, UnderWay: 4, Redelivered: 1, Requests: 1}},
		}},
		Streams: []aegisadmin.Stream{
			{Service: Service, Kind: "commands", Name: "aegis-commands-shop", Messages: 13, Bytes: 900, MaxBytes: 1000, Refuses: true, Replicas: 1},
			{Service: Service, Kind: "events", Name: "aegis-events-shop", Messages: 20, Bytes: 500, Replicas: 1},
		},
	}
}
