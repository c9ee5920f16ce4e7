package proxy

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/embednats"
	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
)

// What is sent after a request that is held up overtakes it.
func TestOnlyRequestsToTheAPIAreHeldUp(t *testing.T) {
	t.Parallel()
	s, err := embednats.Start(embednats.Options{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	var delay atomic.Int64
	p, err := NewSlowAPI(s.Addr().String(), &delay)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	nc, err := nats.Connect(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	ask := func(subject string, header nats.Header) string {
		t.Helper()
		reply, err := nc.RequestMsg(&nats.Msg{Subject: subject, Header: header, Data: []byte("echo")}, 10*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		return string(reply.Data)
	}
	if _, err := nc.Subscribe("echo", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}

	delay.Store(int64(time.Hour))
	if err := nc.PublishRequest("$JS.API.INFO", nc.NewInbox(), nil); err != nil {
		t.Fatal(err)
	}
	for _, header := range []nats.Header{nil, {"A": {"b"}}} { // two kinds of messages
		if got := ask("echo", header); got != "echo" {
			t.Fatalf("echoed was %q", got)
		}
	}
	if n := p.Delayed(); n != 1 {
		t.Errorf("%d requests were held up", n)
	}

	delay.Store(int64(50 * time.Millisecond))
	began := time.Now()
	if ask("$JS.API.INFO", nil) == "" || time.Since(began) < 50*time.Millisecond {
		t.Error("the answer did not come late")
	}
	delay.Store(0)
	if len(p.Delivered()) != 0 {
		t.Errorf("delivered were %v", p.Delivered())
	}
	body, err := proto.Marshal(&faultv1.ChangedRequest{Id: 7})
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "s", Subjects: []string{"item"}}); err != nil {
		t.Fatal(err)
	}
	for _, header := range []nats.Header{nil, {"A": {"b"}}} {
		if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "item", Header: header, Data: body}); err != nil {
			t.Fatal(err)
		}
	}
	consumer, err := js.CreateConsumer(t.Context(), "s", jetstream.ConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := consumer.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if given := p.Delivered(); len(given[7]) != 2 || len(given) != 1 {
		t.Errorf("delivered were %v", given)
	}
	if ask("$JS.API.INFO", nil) == "" || p.Delayed() != 2 {
		t.Error("it is still slow")
	}
}
