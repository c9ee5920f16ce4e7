package call

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/jsm.go/api/server/tracing"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// tracePatience is how long the reports of the NATS servers may take after the reply.
const tracePatience = time.Second

// kinds are the kinds of connections in a trace.
var kinds = map[int]string{
	server.CLIENT: "client", server.ROUTER: "route", server.GATEWAY: "gateway", server.LEAF: "leaf node", server.JETSTREAM: "JetStream",
}

// hop is one step of a message through NATS, as JSON shows it.
type hop struct {
	Depth  int           `json:"depth"`
	After  time.Duration `json:"after_ns"`
	Step   string        `json:"step"`
	Server string        `json:"server,omitempty"`
	Detail string        `json:"detail"`
	Error  string        `json:"error,omitempty"`
}

// runTraced makes a unary call whose request NATS traces, and prints the response and then
// the path of the request.
func (c *caller) runTraced(ctx context.Context, args []string) error {
	subject, err := c.traceSubject()
	if err != nil {
		return err
	}
	if len(c.opts) > 0 {
		return cli.Usagef("--trace follows a plain call: leave --instance, --where, --strategy, --key and the other options of the call out")
	}
	req, err := methods.Request(c.app, c.method, args)
	if err != nil {
		return err
	}
	msg := nats.NewMsg(subject)
	if msg.Data, err = proto.Marshal(req); err != nil {
		return err
	}
	_, call, err := c.o.metadata.Attach(ctx)
	if err != nil {
		return err
	}
	maps.Copy(msg.Header, nats.Header(call.RequestHeader()))
	return c.sendTraced(ctx, msg)
}

// traceSubject returns the subject on which any client calls the method.
func (c *caller) traceSubject() (string, error) {
	subjects := wire.NewSubjects(c.conn.Namespace())
	service, m := c.method.Service().Name(), c.method
	streams := m.Descriptor().IsStreamingClient() || m.Descriptor().IsStreamingServer()
	switch {
	case !streams && m.Pattern() == aegisreflect.PatternLoadBalanced:
		return subjects.Call(service, m.Name()), nil
	case !streams && m.Pattern() == aegisreflect.PatternSingleActive:
		return subjects.LeadAny(service, m.Name(), m.Group()), nil
	default:
		return "", cli.Usagef("--trace: %s is no unary call", m.FullName())
	}
}

func (c *caller) sendTraced(ctx context.Context, msg *nats.Msg) error {
	nc := c.conn.NATS()
	if err := needsTracing(nc.ConnectedServerVersion()); err != nil {
		return err
	}
	if !c.o.bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.method.Timeout())
		defer cancel()
	}
	for attempt := 1; ; attempt++ {
		t, err := c.tryTraced(ctx, msg)
		if err != nil {
			return err
		}
		if t.refused() && attempt < traceAttempts && ctx.Err() == nil {
			continue // no handler has run, so a traced call is tried again as any other
		}
		return errors.Join(c.printReply(t), c.printTrace(t))
	}
}

// traceAttempts is how often a traced call that is refused is sent.
const traceAttempts = 5

// traced is one attempt of a traced call.
type traced struct {
	reply *nats.Msg // nil if none came
	err   error     // why none came
	took  time.Duration
	event *server.MsgTraceEvent
}

// refused tells whether the server has refused the request, and has run no handler.
func (t *traced) refused() bool {
	if t.reply == nil {
		return false
	}
	switch wire.HeaderValue(t.reply.Header, wire.HeaderReason) {
	case aegis.ReasonStale, aegis.ReasonStopping, aegis.ReasonNotActive:
		return true
	default:
		return false
	}
}

func (c *caller) tryTraced(ctx context.Context, msg *nats.Msg) (*traced, error) {
	nc := c.conn.NATS()
	sub, err := nc.SubscribeSync(nc.NewRespInbox())
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	msg.Header.Set(server.MsgTraceDest, sub.Subject)
	if deadline, ok := ctx.Deadline(); ok {
		msg.Header.Set(wire.HeaderTimeout, strconv.FormatInt(wire.TimeoutMillis(time.Until(deadline)), 10))
	}
	t := &traced{}
	begun := time.Now()
	t.reply, t.err = nc.RequestMsgWithContext(ctx, msg)
	t.took = time.Since(begun)
	if t.event, err = tracing.GetMsgTrace(sub, sub.Subject, tracePatience, nil); t.event == nil {
		return nil, errors.Join(t.err, fmt.Errorf("NATS has sent no trace of the request: %w", err))
	}
	return t, nil
}

// needsTracing returns an error for a NATS server that traces no messages.
func needsTracing(version string) error {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err == nil && major == 2 && minor < 11 {
		return fmt.Errorf("--trace needs NATS 2.11 or newer, and this server is %s", version)
	}
	return nil
}

// printReply prints the response, or returns the error in the reply.
func (c *caller) printReply(t *traced) error {
	if t.err != nil {
		return fmt.Errorf("%s: %w", c.method.FullName(), t.err)
	}
	reply := t.reply
	if text := wire.HeaderValue(reply.Header, wire.HeaderServiceError); text != "" {
		code := aegis.CodeUnknown
		var n uint32
		if _, err := fmt.Sscan(wire.HeaderValue(reply.Header, wire.HeaderServiceErrorCode), &n); err == nil && n > 0 && n <= 16 {
			code = aegis.Code(n)
		}
		return aegis.NewError(code, text)
	}
	res, err := c.method.DecodeResponse(reply.Data)
	if err != nil {
		return err
	}
	return c.printResponse(res)
}

// printTrace prints the path of the request.
func (c *caller) printTrace(t *traced) error {
	begun, took := t.event.Server.Time, t.took
	if in := t.event.Ingress(); in != nil {
		begun = in.Timestamp
	}
	hops := hopsOf(t.event, begun, 0)
	if c.app.JSON() {
		return c.app.PrintJSON(map[string]any{"round_trip_ns": took, "hops": hops})
	}
	for _, h := range hops {
		line := fmt.Sprintf("%9.3f ms  %s%s %s", float64(h.After)/1e6, strings.Repeat("  ", h.Depth), h.Step, cli.Clean(h.Detail))
		if h.Server != "" {
			line += " at " + cli.Clean(h.Server)
		}
		if h.Error != "" {
			line += "  " + c.app.Style.Paint(cli.Red, cli.Clean(h.Error))
		}
		if err := c.app.Printf("%s\n", line); err != nil {
			return err
		}
	}
	return c.app.Printf("%9.3f ms  reply\n", float64(took)/1e6)
}

// hopsOf returns the steps through one NATS server and the servers behind it.
func hopsOf(e *server.MsgTraceEvent, begun time.Time, depth int) []hop {
	if e == nil {
		return nil
	}
	name := e.Server.Name + " " + e.Server.Version
	if e.Server.Cluster != "" {
		name += ", cluster " + e.Server.Cluster
	}
	var hops []hop
	if in := e.Ingress(); in != nil {
		hops = append(hops, hop{depth, in.Timestamp.Sub(begun), "in", name, peer(in.Kind, in.Name, in.CID), in.Error})
	}
	if m := e.SubjectMapping(); m != nil {
		hops = append(hops, hop{depth + 1, m.Timestamp.Sub(begun), "mapped to", "", m.MappedTo, ""})
	}
	for _, i := range e.ServiceImports() {
		hops = append(hops, hop{depth + 1, i.Timestamp.Sub(begun), "imported", "", fmt.Sprintf("%s as %s, account %s", i.From, i.To, i.Account), ""})
	}
	if js := e.JetStream(); js != nil {
		hops = append(hops, hop{depth + 1, js.Timestamp.Sub(begun), "stored in", "", js.Stream, js.Error})
	}
	for _, out := range e.Egresses() {
		detail := peer(out.Kind, out.Name, out.CID)
		if out.Subscription != "" {
			detail += ", subscription " + out.Subscription
		}
		if out.Queue != "" {
			detail += ", queue " + out.Queue
		}
		hops = append(hops, hop{depth + 1, out.Timestamp.Sub(begun), "out", "", detail, out.Error})
		hops = append(hops, hopsOf(out.Link, begun, depth+2)...)
	}
	return hops
}

// peer names one end of a connection.
func peer(kind int, name string, cid uint64) string {
	if name == "" {
		return fmt.Sprintf("%s %d", kinds[kind], cid)
	}
	return fmt.Sprintf("%s %d %q", kinds[kind], cid, name)
}
