package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// shower shows the payloads of one service, as far as the monitor does. It looks for the
// descriptors of the service when it needs them first. It is for one request.
type shower struct {
	server  *Server
	service string
	found   *aegisreflect.Service
	failed  error
}

func (x *shower) descriptors(ctx context.Context) (*aegisreflect.Service, error) {
	if x.found == nil && x.failed == nil {
		x.found, x.failed = x.server.resolver.Service(ctx, x.service)
	}
	return x.found, x.failed
}

// letter shows the message of a dead letter.
func (x *shower) letter(ctx context.Context, d *aegis.DeadLetter) monitorapi.Payload {
	if d.Omitted > 0 {
		return x.show(d.Omitted, d.Header, d.ContentType, nil, func() (proto.Message, error) {
			return nil, fmt.Errorf("the message had %d bytes, which were too many to be kept", d.Omitted)
		})
	}
	return x.show(len(d.Data), d.Header, d.ContentType, d.Data, func() (proto.Message, error) {
		service, err := x.descriptors(ctx)
		if err != nil {
			return nil, err
		}
		return service.DecodeDeadLetter(d)
	})
}

// command shows the request of a command, or its response if it has succeeded.
func (x *shower) command(ctx context.Context, c *aegisadmin.Command) monitorapi.Payload {
	return x.show(len(c.Data), c.Header, c.ContentType, c.Data, func() (proto.Message, error) {
		service, err := x.descriptors(ctx)
		if err != nil {
			return nil, err
		}
		m, err := methodOfCommand(service, c.Method)
		if err != nil {
			return nil, err
		}
		if c.State == aegisadmin.Succeeded {
			return m.DecodeResponse(c.Data)
		}
		return m.DecodeRequest(c.Data)
	})
}

// methodOfCommand returns the method of a command. A result does not say its method, so that
// it is known only if the service has but one.
func methodOfCommand(service *aegisreflect.Service, name string) (*aegisreflect.Method, error) {
	if name != "" {
		return service.Method(name)
	}
	var only *aegisreflect.Method
	for _, m := range service.Methods() {
		if m.Pattern() != aegisreflect.PatternCommand {
			continue
		}
		if only != nil {
			return nil, aegis.NewError(aegis.CodeFailedPrecondition, "a stored result does not say of which method it is, and the service has several commands")
		}
		only = m
	}
	if only == nil {
		return nil, aegis.NewError(aegis.CodeNotFound, "the service has no commands any more")
	}
	return only, nil
}

func (x *shower) show(size int, header aegis.Header, contentType string, data []byte, decode func() (proto.Message, error)) monitorapi.Payload {
	if !x.server.config.May.ShowPayloads {
		return monitorapi.Payload{Hidden: true, Metadata: map[string][]string{}}
	}
	p := monitorapi.Payload{Bytes: size, Metadata: metadataOf(header)}
	if isJSON(contentType) && json.Valid(data) {
		p.JSON = data
		return p
	}
	msg, err := decode()
	if err == nil {
		p.JSON, err = x.found.JSON(msg)
	}
	if err != nil {
		p.JSON, p.Undecoded = nil, strings.TrimPrefix(err.Error(), "aegis: ")
	}
	return p
}

func isJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/json")
}

func metadataOf(h aegis.Header) map[string][]string {
	if h == nil {
		return map[string][]string{}
	}
	return h
}
