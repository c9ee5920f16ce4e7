package streamend_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/streamend"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// beneath is the stream beneath an interceptor: each of its methods returns the errors of a
// list, one after the other.
type beneath struct{ sends, receives []error }

func (b *beneath) Send(proto.Message) error { return next(&b.sends) }
func (b *beneath) Recv(proto.Message) error { return next(&b.receives) }
func (b *beneath) CloseSend() error         { return nil }

func next(list *[]error) error {
	err := (*list)[0]
	*list = (*list)[1:]
	return err
}

func TestEndOfAStreamIsToldOnceWithItsError(t *testing.T) {
	t.Parallel()
	errLarge, errGone := errors.New("too large"), errors.New("the server is gone")
	streams := testv1.File_aegistest_v1_testing_proto.Services().ByName("StreamService").Methods()
	for name, test := range map[string]struct {
		beneath
		method   protoreflect.Name // Chat unless it says otherwise
		canceled bool              // by the user, in the end
		told     []error
	}{
		"read to the end":                       {beneath: beneath{receives: []error{nil, io.EOF, io.EOF}}, told: []error{nil}},
		"that the server has ended":             {beneath: beneath{sends: []error{io.EOF}, receives: []error{errGone, errGone}}, told: []error{errGone}},
		"that is open":                          {beneath: beneath{sends: []error{nil}, receives: []error{nil}}},
		"read to the end, then closed":          {beneath: beneath{receives: []error{io.EOF}}, canceled: true, told: []error{nil}},
		"given up":                              {beneath: beneath{sends: []error{nil}}, canceled: true, told: []error{context.Canceled}},
		"given up after a message":              {beneath: beneath{sends: []error{nil, errLarge}}, canceled: true, told: []error{errLarge}},
		"given up after a message and another":  {beneath: beneath{sends: []error{errLarge, nil}}, canceled: true, told: []error{context.Canceled}},
		"given up when the server has ended it": {beneath: beneath{sends: []error{io.EOF}}, canceled: true, told: []error{context.Canceled}},
		"that goes on after a message":          {beneath: beneath{sends: []error{errLarge}}},
		"whose one request opens nothing":       {method: "Count", beneath: beneath{sends: []error{errLarge}}, told: []error{errLarge}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.method == "" {
				test.method = "Chat"
			}
			ctx, _ := aegistest.WithCall(t.Context(), aegistest.CallConfig{Method: streams.ByName(test.method)})
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			told := make(chan error, 3)
			s := streamend.Watch(ctx, &test.beneath, func(err error) { told <- err })
			for range len(test.sends) {
				want := test.sends[0]
				require.Equal(t, want, s.Send(&testv1.ChatRequest{}), "an error passes as it is")
			}
			for range len(test.receives) {
				want := test.receives[0]
				require.Equal(t, want, s.Recv(&testv1.ChatResponse{}))
			}
			if test.canceled {
				cancel()
			}
			for _, want := range test.told {
				select {
				case err := <-told:
					require.Equal(t, want, err)
				case <-time.After(30 * time.Second):
					t.Fatal("the end is not told")
				}
			}
			require.Empty(t, told)
		})
	}
}

func TestEndOfAContextThatHasEndedBeforeIsTold(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	told := make(chan error, 1)
	var s aegis.AnyStream = &beneath{}
	streamend.Watch(ctx, s, func(err error) { told <- err })
	require.ErrorIs(t, <-told, context.Canceled)
}
