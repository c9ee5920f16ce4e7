package payload

import (
	"context"
	"encoding/json"
	"errors"

	aegis "github.com/aegisrpc/aegis/runtime"
)

var errNoDescriptors = errors.New("the descriptors of the service are not known")

func reflection(*aegis.Conn, string) decoder {
	return func(context.Context, string, bool, []byte) (json.RawMessage, error) { return nil, errNoDescriptors }
}
