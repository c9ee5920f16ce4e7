package payload

import (
	"context"
	"encoding/json"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// reflection returns a decoder by the descriptors of a service: those of its servers, or
// those that were kept with what is stored. It looks for them once.
func reflection(conn *aegis.Conn, name string) decoder {
	var service *aegisreflect.Service
	var failed error
	return func(ctx context.Context, method string, response bool, data []byte) (json.RawMessage, error) {
		if service == nil && failed == nil {
			service, failed = aegisreflect.New(conn).Service(ctx, name)
		}
		if failed != nil {
			return nil, failed
		}
		m, err := service.Method(method)
		if err != nil {
			return nil, err
		}
		decode := m.DecodeRequest
		if response {
			decode = m.DecodeResponse
		}
		msg, err := decode(data)
		if err != nil {
			return nil, err
		}
		return service.JSON(msg)
	}
}
