package aegis_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// deliverAgain has NATS deliver a message for the second time while it is held, as the
// new leader of a consumer does whom no sign of life has reached. It returns when the
// second delivery is kept alive in place of the first one.
func deliverAgain(t *testing.T, conn *aegis.Conn, stream, consumer string) {
	t.Helper()
	nc := plain(t, conn)
	acks := "$JS.ACK." + stream + "." + consumer + "."
	signs, err := nc.SubscribeSync(acks + ">")
	require.NoError(t, err)
	signOf := func(delivery string) (subject string) {
		eventually(t, "a sign of life for the delivery "+delivery, func() bool {
			sign, err := signs.NextMsg(patience)
			if err != nil || string(sign.Data) != "+WPI" || !strings.HasPrefix(sign.Subject, acks+delivery+".") {
				return false
			}
			subject = sign.Subject
			return true
		})
		return subject
	}
	require.NoError(t, nc.Publish(signOf("1"), []byte("-NAK")))
	c, err := jetStream(t, conn).Consumer(t.Context(), stream, consumer)
	require.NoError(t, err)
	eventually(t, "it is delivered again", func() bool {
		info, err := c.Info(t.Context())
		return err == nil && info.NumRedelivered == 1 && info.NumAckPending == 1
	})
	signOf("2")
}

// heldText is a handler that notes each text, and holds the one called "held" until it
// is released.
type heldText struct {
	diary
	hold chan struct{}
}

func newHeldText() *heldText { return &heldText{hold: make(chan struct{})} }

func (h *heldText) handle(text string) {
	h.notef("%s", text)
	if text == "held" {
		<-h.hold
	}
}

// release lets the handler go on. Further calls do nothing.
func (h *heldText) release() {
	select {
	case <-h.hold:
	default:
		close(h.hold)
	}
}

func TestEventThatIsHeldIsNotBegunAgainWhenItIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	h := newHeldText()
	defer h.release()
	subscribe(t, conn, handlers{Stored: func(_ context.Context, ev *testv1.StoredRequest) error {
		h.handle(ev.GetText())
		return nil
	}}, nil, aegis.WithMaxConcurrency(2))
	pub := newPublisher(t, conn)
	mustStore(t, pub, "held")
	deliverAgain(t, conn, eventStream, storedConsumer)
	mustStore(t, pub, "next") // which is begun after what was delivered before
	eventually(t, "the next one is handled", func() bool { return h.count("next") == 1 })
	h.release()
	settled(t, conn, storedConsumer)
	h.becomes(t, "held", "next")
}

func TestCommandThatIsHeldIsNotBegunAgainWhenItIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	h := newHeldText()
	defer h.release()
	worker(t, conn, jobs{work: func(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		h.handle(req.GetText())
		return &testv1.WorkResponse{Text: req.GetText()}, nil
	}})
	client := newJobClient(t, conn)
	held := send(t, client, "held")
	deliverAgain(t, conn, commandStream, "w-Work-n")
	require.Equal(t, "next", mustResult(t, send(t, client, "next")))
	h.release()
	require.Equal(t, "held", mustResult(t, held))
	h.becomes(t, "held", "next")
}
