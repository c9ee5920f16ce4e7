// Package streams has the subcommand that shows the streams of services.
package streams

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/pausing"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/stored"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// Command returns the subcommand streams.
func Command(app *cli.App) *cobra.Command {
	c := &cobra.Command{
		Use:   "streams [SERVICE]",
		Short: "Show what is stored of services, and who has how much of it still to do",
		Long: "Lists the streams of all services: what they hold, and their limits. With SERVICE it lists the\n" +
			"consumers of the service's streams as well: how many messages each has still to get (lag), how\n" +
			"many are under way, how many of those came again, up to where all is done, and how many requests\n" +
			"of workers and subscribers wait for messages. A consumer at which nobody waits, and which has\n" +
			"something to do, has no worker or subscriber.",
		Example: "  aegis streams\n  aegis streams order.v1.OrderService\n" +
			"  aegis streams pause order.v1.OrderService/OrderPlaced --group risk --for 30m",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return app.WithConn(c.Context(), func(ctx context.Context, conn *aegis.Conn) error {
				return show(ctx, app, aegisadmin.New(conn), args)
			})
		},
	}
	c.AddCommand(pausing.Pause(app, pausing.Events), pausing.Resume(app, pausing.Events), partitions(app))
	return c
}

// stream is a stream as JSON shows it.
type stream struct {
	Service     string     `json:"service"`
	Kind        string     `json:"kind"`
	Stream      string     `json:"stream"`
	Messages    uint64     `json:"messages"`
	Bytes       uint64     `json:"bytes"`
	MaxBytes    int64      `json:"max_bytes,omitempty"`
	MaxMessages int64      `json:"max_messages,omitempty"`
	MaxAge      string     `json:"max_age,omitempty"`
	Refuses     bool       `json:"refuses_when_full"`
	Replicas    int        `json:"replicas"`
	Leader      string     `json:"leader,omitempty"`
	Behind      []string   `json:"behind,omitempty"`
	First       *time.Time `json:"first,omitempty"`
	Last        *time.Time `json:"last,omitempty"`
	Consumers   []consumer `json:"consumers"`
}

// consumer is a consumer as JSON shows it.
type consumer struct {
	Consumer     string     `json:"consumer"`
	Pending      uint64     `json:"pending"`
	UnderWay     int        `json:"under_way"`
	MaxUnderWay  int        `json:"max_under_way"`
	Redelivered  int        `json:"redelivered"`
	Floor        uint64     `json:"floor"`
	Delivered    uint64     `json:"delivered"`
	Requests     int        `json:"requests"`
	LastDelivery *time.Time `json:"last_delivery,omitempty"`
	LastAck      *time.Time `json:"last_ack,omitempty"`
	AckWait      string     `json:"ack_wait"`
	PausedUntil  *time.Time `json:"paused_until,omitempty"`
}

func streamOf(s *aegisadmin.Stream) stream {
	row := stream{
		Service: s.Service, Kind: s.Kind, Stream: s.Name, Messages: s.Messages, Bytes: s.Bytes, MaxBytes: s.MaxBytes, MaxMessages: s.MaxMessages,
		Refuses: s.Refuses, Replicas: s.Replicas, Leader: s.Leader, Behind: s.Behind, First: stored.Moment(s.First), Last: stored.Moment(s.Last),
		Consumers: []consumer{},
	}
	if s.MaxAge > 0 {
		row.MaxAge = s.MaxAge.String()
	}
	for i := range s.Consumers {
		c := &s.Consumers[i]
		row.Consumers = append(row.Consumers, consumer{
			Consumer: c.Name, Pending: c.Pending, UnderWay: c.UnderWay, MaxUnderWay: c.MaxUnderWay, Redelivered: c.Redelivered,
			Floor: c.Floor, Delivered: c.Delivered, Requests: c.Requests, LastDelivery: stored.Moment(c.LastDelivery), LastAck: stored.Moment(c.LastAck),
			AckWait: c.AckWait.String(), PausedUntil: stored.Moment(c.PausedUntil),
		})
	}
	return row
}

func show(ctx context.Context, app *cli.App, admin *aegisadmin.Admin, args []string) error {
	services, err := stored.Services(ctx, admin, args)
	if err != nil {
		return err
	}
	rows := []stream{}
	for _, service := range services {
		found, err := admin.Streams(ctx, service)
		if err != nil {
			return err
		}
		for i := range found {
			rows = append(rows, streamOf(&found[i]))
		}
	}
	switch {
	case len(rows) == 0 && len(args) > 0:
		return stored.Unknown(ctx, admin, args[0], "streams")
	case app.JSON():
		return app.PrintJSON(rows)
	case len(rows) == 0:
		app.Notef("Nothing is stored here.")
		return nil
	}
	if err := app.Print(rows, func(t *cli.Table) { fillStreams(t, rows) }); err != nil || len(args) == 0 {
		return err
	}
	return consumers(app, rows)
}

func fillStreams(t *cli.Table, rows []stream) {
	t.Header("SERVICE", "KIND", "MESSAGES", "SIZE", "OLDEST", "LIMITS", "REPLICAS", "CONSUMERS", "LAG")
	for i := range rows {
		r := &rows[i]
		oldest := ""
		if r.First != nil {
			oldest = cli.Age(*r.First)
		}
		lag := uint64(0)
		for _, c := range r.Consumers {
			lag = max(lag, c.Pending)
		}
		t.Row(r.Service, r.Kind, r.Messages, cli.Bytes(r.Bytes), oldest, r.limits(), r.replicas(), len(r.Consumers), lag)
	}
}

// limits names the limits of a stream, and what becomes of messages beyond them.
func (s *stream) limits() string {
	var list []string
	if s.MaxAge != "" {
		if age, err := time.ParseDuration(s.MaxAge); err == nil {
			list = append(list, cli.Span(age))
		}
	}
	if s.MaxBytes > 0 {
		list = append(list, cli.Bytes(s.MaxBytes))
	}
	if s.MaxMessages > 0 {
		list = append(list, fmt.Sprintf("%d messages", s.MaxMessages))
	}
	return strings.Join(list, ", ")
}

func (s *stream) replicas() cli.Styled {
	text := strconv.Itoa(s.Replicas)
	if len(s.Behind) == 0 {
		return cli.Styled{Text: text}
	}
	return cli.Styled{Text: text + ", behind: " + strings.Join(s.Behind, ", "), Colour: cli.Red}
}

// consumers prints the consumers of the streams.
func consumers(app *cli.App, rows []stream) error {
	n := 0
	for i := range rows {
		n += len(rows[i].Consumers)
	}
	if n == 0 {
		return nil
	}
	if err := app.Printf("\n"); err != nil {
		return err
	}
	return app.Print(rows, func(t *cli.Table) {
		t.Header("KIND", "CONSUMER", "LAG", "UNDER WAY", "CAME AGAIN", "DONE UP TO", "REQUESTS", "LAST ACK", "REMARKS")
		for i := range rows {
			for _, c := range rows[i].Consumers {
				ack := ""
				if c.LastAck != nil {
					ack = cli.Age(*c.LastAck) + " ago"
				}
				t.Row(rows[i].Kind, c.Consumer, c.Pending, fmt.Sprintf("%d/%d", c.UnderWay, c.MaxUnderWay), c.Redelivered, c.Floor, c.Requests, ack, c.remarks())
			}
		}
	})
}

// remarks says what a person has to know of the consumer.
func (c *consumer) remarks() cli.Styled {
	switch {
	case c.PausedUntil != nil:
		return cli.Styled{Text: "paused for " + cli.In(*c.PausedUntil), Colour: cli.Yellow}
	case c.Requests == 0 && c.Pending > 0 && c.UnderWay == 0:
		return cli.Styled{Text: "nobody asks for messages", Colour: cli.Red}
	case c.MaxUnderWay > 1 && c.UnderWay >= c.MaxUnderWay && c.Pending > 0:
		return cli.Styled{Text: "as many under way as may be", Colour: cli.Red}
	default:
		return cli.Styled{}
	}
}
