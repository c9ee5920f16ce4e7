package call

import (
	"encoding/json"
	"errors"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// failed is the error of a call as JSON shows it.
type failed struct {
	Code    string            `json:"code"`
	Message string            `json:"message"`
	Reason  string            `json:"reason,omitempty"`
	Details []json.RawMessage `json:"details,omitempty"`
	// Remote tells that the server has said so, and not the client found out.
	Remote bool `json:"remote"`
	// MayHaveRun tells that a handler may have run.
	MayHaveRun bool `json:"may_have_run"`
}

func describeError(service *aegisreflect.Service, err error) *failed {
	e, ok := errors.AsType[*aegis.Error](err)
	if !ok {
		return &failed{Code: aegis.CodeOf(err).String(), Message: err.Error(), MayHaveRun: aegis.MayHaveRun(err)}
	}
	f := &failed{
		Code: e.Code().String(), Message: e.Message(), Reason: e.Reason(), Remote: aegis.IsWireError(err), MayHaveRun: aegis.MayHaveRun(err),
	}
	for _, d := range e.Details() {
		if service == nil {
			break
		}
		if text, err := service.JSON(d); err == nil {
			f.Details = append(f.Details, text)
		}
	}
	return f
}

// failure returns the error of a call as the process is to end with: with its details, and
// with --output json as an object on standard error.
func failure(app *cli.App, service *aegisreflect.Service, err error) error {
	if err == nil || cli.Own(err) {
		return err
	}
	f := describeError(service, err)
	if app.JSON() {
		if app.NoteJSON(map[string]*failed{"error": f}) != nil {
			return err
		}
		return cli.Exit(1)
	}
	if len(f.Details) > 0 {
		app.Notef("aegis: %s", cli.Clean(err.Error()))
		for _, d := range f.Details {
			app.Notef("  detail: %s", cli.Clean(string(d)))
		}
		return cli.Exit(1)
	}
	return err
}
