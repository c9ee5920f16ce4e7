package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// errNoJetStream is wrapped if there is no JetStream for this account.
var errNoJetStream = errors.New("this account has no JetStream")

// apiError is an error that JetStream has answered.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return e.Description }

// The codes of JetStream's errors that the checks tell apart.
const (
	codeNotEnabled           = 10076
	codeNotEnabledForAccount = 10039
	codeStreamNotFound       = 10059
	codeMessageNotFound      = 10037
)

// isCode reports whether an error is one of JetStream's with a code.
func isCode(err error, code int) bool {
	var api *apiError
	return errors.As(err, &api) && api.ErrCode == code
}

// call asks an operation of the JetStream API, such as "STREAM.INFO.name". The error is a
// *deniedError where NATS refuses the request, and wraps errNoJetStream where there is no
// JetStream.
func (s *Session) call(ctx context.Context, operation string, body, into any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	msg, err := s.request(ctx, s.api+"."+operation, data)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: nobody answers %s", errNoJetStream, s.api)
	case err != nil:
		return err
	}
	var failed struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &failed); err != nil {
		return fmt.Errorf("the answer to %s.%s is no JSON: %w", s.api, operation, err)
	}
	if e := failed.Error; e != nil {
		if e.ErrCode == codeNotEnabled || e.ErrCode == codeNotEnabledForAccount {
			return fmt.Errorf("%w: %w", errNoJetStream, e)
		}
		return e
	}
	return json.Unmarshal(msg.Data, into)
}

// request sends a request and returns its reply. It ends at once with a *deniedError if
// NATS does not allow it.
func (s *Session) request(ctx context.Context, subject string, data []byte) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	stop := s.watchDenials(func(d *deniedError) {
		if !d.subscribe && d.subject == subject || d.subscribe && strings.HasPrefix(d.subject, s.inboxPrefix()) {
			refuse(d)
		}
	})
	defer stop()
	s.mu.Lock()
	deaf := s.deaf
	s.mu.Unlock()
	if deaf != nil {
		return nil, deaf
	}
	msg, err := s.nc.RequestWithContext(ctx, subject, data)
	if err == nil {
		return msg, nil
	}
	if denied, ok := errors.AsType[*deniedError](context.Cause(ctx)); ok {
		return nil, denied
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deaf != nil {
		return nil, s.deaf
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
		return nil, fmt.Errorf("nobody answered a request to %s within %v", subject, s.timeout)
	}
	return nil, err
}
