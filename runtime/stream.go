package aegis

import (
	"errors"
	"io"
	"iter"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"
)

// Receiver reads the messages of a stream: at a client the messages of the server, in a
// handler those of the client. Recv and All may be called by one goroutine at a time, the
// other methods by any.
//
// However late and slowly a stream is read, all of it arrives, in order, or an error says
// why not; the sender is held up once the window is full.
type Receiver[T any] interface {
	// Recv waits for the next message and returns it. The error is io.EOF when the stream
	// has ended well and everything was read, and an *Error else: the error that the
	// handler has returned; CodeDataLoss if the stream is not whole;
	// CodeUnavailable if the other process is gone or, with ReasonStopping, shuts
	// down; in a handler CodeCanceled after Close, and when the handler has returned
	// before the client has sent all.
	Recv() (*T, error)
	// All returns the messages that follow. The loop ends with the stream; an error is its
	// last element.
	All() iter.Seq2[*T, error]
	// Header returns the metadata that comes before the first message: at a
	// client empty until Recv has returned, in a handler that of the request.
	Header() Header
	// Trailer returns, at a client, the metadata that comes after the last
	// message: empty until Recv has returned an error, io.EOF included.
	Trailer() Header
	// Close ends the reading. At a client it ends the whole stream, and the context of the
	// handler, unless the stream has ended; in a handler it throws away messages that still
	// come. A Recv that waits in another goroutine returns. Its error is
	// always nil, and further calls do nothing.
	Close() error
}

// Sender sends the messages of a handler. Send may be called by one goroutine at
// a time.
type Sender[T any] interface {
	// Send sends a message. It waits while the window is full. When it has returned, the
	// message may be changed; the client may not have read it. The error is an *Error if
	// the stream has ended. For a message that is too large for NATS it has
	// CodeResourceExhausted and ReasonTooLarge, and the stream goes on.
	Send(msg *T) error
	// Header is the metadata that is sent before the first message: set it before
	// the first Send.
	Header() Header
	// Trailer is the metadata that is sent with the end: set it before the handler
	// returns.
	Trailer() Header
}

// UploadStream is the client's side of a stream of requests that has one response. Its
// methods may be called by one goroutine at a time. The client has to call CloseAndRecv, or
// to cancel the context to give the stream up.
type UploadStream[Req, Res any] interface {
	// Send sends a message. It waits while the window is full. It returns io.EOF
	// if the server has ended the stream: CloseAndRecv says why.
	Send(msg *Req) error
	// CloseAndRecv tells the server that there are no more requests, and waits for the
	// response. The error is an *Error.
	CloseAndRecv() (*Res, error)
}

// BidiStream is the client's side of a stream in both directions. One goroutine may send
// while another receives. The client has to Close the stream, to end its context, or to
// read it to its end.
type BidiStream[Req, Res any] interface {
	// Send sends a message. It waits while the window is full. It returns io.EOF
	// if the server has ended the stream: Recv says why.
	Send(msg *Req) error
	// CloseSend tells the server that there are no more requests. Further calls do nothing.
	CloseSend() error
	Receiver[Res]
}

// WindowOption is the option of servers, clients and calls that WithStreamWindow returns.
type WindowOption struct{ window flow.Window }

// WithStreamWindow sets how many messages of a stream, and how many bytes of
// them, may be under way or unread, at most, before its sender has to wait: at a
// client for what servers send, at a server for what clients send. One message may
// exceed the bytes. All streams of a connection together have no more bytes under
// way than its link to NATS carries (16 MiB at most), so a stream may get fewer. 1 to
// 2^30 each. Default 16,384 messages and 2 MiB. Given to a call that can have no stream
// it is an error with CodeInvalidArgument.
func WithStreamWindow(messages, bytes int) WindowOption {
	return WindowOption{flow.Window{Messages: uint64(messages), Bytes: uint64(bytes)}}
}

func (o WindowOption) apply(to *flow.Window) error {
	if o.window.Messages-1 >= wire.MaxWindow || o.window.Bytes-1 >= wire.MaxWindow {
		return invalidOption("stream window of %d messages and %d bytes: use 1 to %d each",
			int(o.window.Messages), int(o.window.Bytes), wire.MaxWindow)
	}
	*to = o.window
	return nil
}

// defaultWindow is the window of WithStreamWindow's default, with which streams begin unless
// their open says otherwise.
func defaultWindow() flow.Window {
	return flow.Window{Messages: wire.DefaultWindowMessages, Bytes: wire.DefaultWindowBytes}
}

// recvMessage reads one message.
func recvMessage[T any](s AnyStream) (*T, error) {
	m := new(T)
	if err := s.Recv(any(m).(proto.Message)); err != nil { //nolint:forcetypeassert // generated code passes messages
		return nil, streamError(err)
	}
	return m, nil
}

// all is All of a Receiver whose Recv is recv.
func all[T any](recv func() (*T, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for {
			m, err := recv()
			switch {
			case err == nil:
				if !yield(m, nil) {
					return
				}
				continue
			case !errors.Is(err, io.EOF):
				yield(nil, err)
			}
			return
		}
	}
}

// streamError lets io.EOF pass and makes an *Error of all else.
func streamError(err error) error {
	if err == io.EOF { //nolint:errorlint // only the end itself is one
		return err
	}
	return asError(err)
}

// sendMessage sends one message.
func sendMessage(s AnyStream, m any) error {
	if err := s.Send(m.(proto.Message)); err != nil { //nolint:forcetypeassert // generated code passes messages
		return streamError(err)
	}
	return nil
}

// maxMaxStreams is the most that WithMaxStreams takes.
const maxMaxStreams = 10_000_000
