package aegis_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// deliverAgain has NATS deliver a message again while it is held, as a leader of a
// consumer does that signs of life have not reached. It returns when it did.
func deliverAgain(t *testing.T, conn *aegis.Conn, stream, consumer string) {
	t.Helper()
	nc := plain(t, conn)
	signs, err := nc.SubscribeSync("$JS.ACK." + stream + "." + consumer + ".>")
	require.NoError(t, err)
	var sign *nats.Msg
	eventually(t, "a sign of life", func() bool {
		sign, err = signs.NextMsg(patience)
		return err == nil && string(sign.Data) == "+WPI"
	})
	require.NoError(t, nc.Publish(sign.Subject, []byte("-NAK")))
	c, err := jetStream(t, conn).Consumer(t.Context(), stream, consumer)
	require.NoError(t, err)
	eventually(t, "it is delivered again", func() bool {
		info, err := c.Info(t.Context())
		return err == nil && info.NumRedelivered == 1 && info.NumAckPending == 1
	})
	// What it is told from now on names the second delivery.
	again := strings.Replace(sign.Subject, consumer+".1.", consumer+".2.", 1)
	again = again[:strings.Index(again, consumer)+len(consumer)+len(".2.")]
	eventually(t, "a sign of life for the second delivery", func() bool {
		sign, err = signs.NextMsg(patience)
		return err == nil && strings.HasPrefix(sign.Subject, again)
	})
}

func TestEventThatIsHeldIsNotBegunAgainWhenItIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	defer release()
	subscribe(t, conn, handlers{Stored: func(_ context.Context, ev *testv1.StoredRequest) error {
		d.notef("%s", ev.GetText())
		if ev.GetText() == "held" {
			<-hold
		}
		return nil
	}}, nil, aegis.WithConcurrency(2))
	pub := newPublisher(t, conn)
	mustStore(t, pub, "held")
	deliverAgain(t, conn, eventStream, storedConsumer)
	mustStore(t, pub, "next") // which is begun after what was delivered before
	eventually(t, "the next one is handled", func() bool { return d.count("next") == 1 })
	release()
	settled(t, conn, storedConsumer)
	d.becomes(t, "held", "next")
}

func TestCommandThatIsHeldIsNotBegunAgainWhenItIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	defer release()
	worker(t, conn, jobs{work: func(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		d.notef("%s", req.GetText())
		if req.GetText() == "held" {
			<-hold
		}
		return &testv1.WorkResponse{Text: req.GetText()}, nil
	}})
	client := newJobClient(t, conn)
	held := send(t, client, "held")
	deliverAgain(t, conn, commandStream, "w-Work-n")
	require.Equal(t, "next", mustResult(t, send(t, client, "next")))
	release()
	require.Equal(t, "held", mustResult(t, held))
	d.becomes(t, "held", "next")
}
