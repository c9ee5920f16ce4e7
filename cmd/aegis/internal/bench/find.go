package bench

import (
	"context"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/aegisrpc/aegis/internal/spec"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// found is a method that reflection has found.
type found struct {
	service protoreflect.ServiceDescriptor
	method  *spec.Method
	request func(json []byte) (*dynamicpb.Message, error)
}

// find asks the servers of a service for its descriptors.
func find(ctx context.Context, conn *aegis.Conn, service, method string) (*found, error) {
	s, err := aegisreflect.New(conn).Service(ctx, service)
	if err != nil {
		return nil, err
	}
	m, err := s.Method(method)
	if err != nil {
		return nil, err
	}
	all, err := spec.FromDescriptor(s.Descriptor())
	if err != nil {
		return nil, err
	}
	return &found{service: s.Descriptor(), method: all.Method(m.Name()), request: m.Request}, nil
}
