package aegisreflect

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// Stream opens a stream of responses to one request. For the deadline see
// aegis.ServerStreamMethod. Close the Receiver, or read it to its end.
func (m *Method) Stream(ctx context.Context, req proto.Message, opts ...aegis.CallOption) (aegis.Receiver[dynamicpb.Message], error) {
	method, err := clientMethod(m, &m.stream, kindStream, aegis.NewServerStreamMethod[dynamicpb.Message, emptypb.Empty])
	if err != nil {
		return nil, err
	}
	msg, err := m.outgoing(req)
	if err != nil {
		return nil, err
	}
	in, err := method.Open(ctx, msg, opts...)
	if err != nil {
		return nil, err
	}
	return receiver{in, m}, nil
}

// Upload opens a stream of requests that has one response. For the deadline see
// aegis.ServerStreamMethod.
func (m *Method) Upload(ctx context.Context, opts ...aegis.CallOption) (aegis.UploadStream[dynamicpb.Message, dynamicpb.Message], error) {
	method, err := clientMethod(m, &m.upload, kindUpload, aegis.NewClientStreamMethod[dynamicpb.Message, emptypb.Empty])
	if err != nil {
		return nil, err
	}
	out, err := method.Open(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return uploadStream{out, m}, nil
}

// Bidi opens a stream in both directions. For the deadline see aegis.ServerStreamMethod.
func (m *Method) Bidi(ctx context.Context, opts ...aegis.CallOption) (aegis.BidiStream[dynamicpb.Message, dynamicpb.Message], error) {
	method, err := clientMethod(m, &m.bidi, kindBidi, aegis.NewBidiStreamMethod[dynamicpb.Message, emptypb.Empty])
	if err != nil {
		return nil, err
	}
	both, err := method.Open(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return bidiStream{receiver{both, m}, both}, nil
}

// receiver reads the messages of a stream.
type receiver struct {
	in     aegis.Receiver[emptypb.Empty]
	method *Method
}

func (r receiver) Recv() (*dynamicpb.Message, error) {
	carrier, err := r.in.Recv()
	if err != nil {
		return nil, err
	}
	msg, err := r.method.response(carrier)
	if err != nil {
		_ = r.in.Close() // never fails; nobody can read the rest
	}
	return msg, err
}

func (r receiver) All() iter.Seq2[*dynamicpb.Message, error] { return all(r.Recv) }
func (r receiver) Header() aegis.Header                      { return r.in.Header() }
func (r receiver) Trailer() aegis.Header                     { return r.in.Trailer() }
func (r receiver) Close() error                              { return r.in.Close() }

// uploadStream sends the messages of a stream, and reads the one response.
type uploadStream struct {
	out    aegis.UploadStream[dynamicpb.Message, emptypb.Empty]
	method *Method
}

func (s uploadStream) Send(msg *dynamicpb.Message) error {
	msg, err := s.method.outgoing(msg)
	if err != nil {
		return err
	}
	return s.out.Send(msg)
}

func (s uploadStream) CloseAndRecv() (*dynamicpb.Message, error) {
	carrier, err := s.out.CloseAndRecv()
	if err != nil {
		return nil, err
	}
	return s.method.response(carrier)
}

// bidiStream sends the messages of a stream and reads others.
type bidiStream struct {
	receiver

	out interface {
		Send(msg *dynamicpb.Message) error
		CloseSend() error
	}
}

func (s bidiStream) Send(msg *dynamicpb.Message) error {
	msg, err := s.method.outgoing(msg)
	if err != nil {
		return err
	}
	return s.out.Send(msg)
}

func (s bidiStream) CloseSend() error { return s.out.CloseSend() }

// all returns the messages that recv returns, until their end. An error is the last element.
func all[T any](recv func() (*T, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for {
			msg, err := recv()
			switch {
			case err == nil:
				if !yield(msg, nil) {
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
