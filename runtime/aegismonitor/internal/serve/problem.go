package serve

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// problem is an error with the status that its answer has.
type problem struct {
	status int
	code   string // of an Aegis error; "" for others
	detail string
	header http.Header // further headers; nil for none
}

func (p *problem) Error() string { return p.detail }

func newProblem(status int, detail string) *problem { return &problem{status: status, detail: detail} }

func badRequest(detail string) *problem { return newProblem(http.StatusBadRequest, detail) }

// with adds a header.
func (p *problem) with(key, value string) *problem {
	if p.header == nil {
		p.header = make(http.Header)
	}
	p.header.Add(key, value)
	return p
}

// busy says that the same request may be answered later.
func busy(after time.Duration, detail string) *problem {
	return newProblem(http.StatusServiceUnavailable, detail).with("Retry-After", strconv.Itoa(int(after.Seconds())))
}

// statuses are the statuses of the codes of Aegis. The user of the monitor is not the user
// that its connection to NATS has, so that none is 401, by which a page would ask for a
// password.
var statuses = map[aegis.Code]int{ //nolint:gochecknoglobals // a table
	aegis.CodeInvalidArgument:    http.StatusBadRequest,
	aegis.CodeOutOfRange:         http.StatusBadRequest,
	aegis.CodePermissionDenied:   http.StatusForbidden,
	aegis.CodeUnauthenticated:    http.StatusForbidden,
	aegis.CodeNotFound:           http.StatusNotFound,
	aegis.CodeAlreadyExists:      http.StatusConflict,
	aegis.CodeFailedPrecondition: http.StatusConflict,
	aegis.CodeAborted:            http.StatusConflict,
	aegis.CodeResourceExhausted:  http.StatusTooManyRequests,
	aegis.CodeUnimplemented:      http.StatusNotImplemented,
	aegis.CodeUnavailable:        http.StatusServiceUnavailable,
	aegis.CodeCanceled:           http.StatusServiceUnavailable,
	aegis.CodeDeadlineExceeded:   http.StatusGatewayTimeout,
}

// problemOf returns the answer to an error.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return newProblem(http.StatusRequestEntityTooLarge, "the body is larger than "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes")
	}
	code := aegis.CodeOf(err)
	if errors.Is(err, context.DeadlineExceeded) {
		code = aegis.CodeDeadlineExceeded
	}
	status := statuses[code]
	if status == 0 {
		status = http.StatusInternalServerError
	}
	return &problem{status: status, code: code.String(), detail: err.Error()}
}

// write answers with the problem.
func (p *problem) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	maps.Copy(h, p.header)
	h.Del("ETag")
	h.Del("Content-Encoding")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	body, _ := json.Marshal(monitorapi.Problem{ //nolint:errchkjson // it has texts and a number
		Status: p.status, Title: http.StatusText(p.status), Code: p.code, Detail: p.detail,
	})
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}
