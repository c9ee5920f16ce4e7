package call

import (
	"context"
	"encoding/json"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
)

// reply is the reply of one instance to a broadcast, as it is printed.
type reply struct {
	Instance string          `json:"instance,omitempty"`
	Response json.RawMessage `json:"response,omitempty"`
	Error    *failed         `json:"error,omitempty"`
}

func (c *caller) broadcast(ctx context.Context, args []string) error {
	req, err := methods.Request(c.app, c.method, args)
	if err != nil {
		return err
	}
	answered, missing := 0, 0
	for r := range c.method.Broadcast(ctx, req, c.opts...) {
		if r.Instance == "" {
			return r.Err // the broadcast itself has failed
		}
		line := reply{Instance: r.Instance}
		if r.Err != nil {
			missing++
			line.Error = describeError(c.method.Service(), r.Err)
		} else if line.Response, err = c.method.Service().JSON(r.Msg); err != nil {
			return err
		} else {
			answered++
		}
		if err := c.app.PrintLine(line); err != nil {
			return err
		}
	}
	if missing > 0 {
		c.app.Notef("aegis: %d of %d instances failed or did not answer", missing, answered+missing)
		return cli.Exit(1)
	}
	return nil
}
