package serve

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
)

const (
	// readTimeout bounds a request that reads from NATS.
	readTimeout = 10 * time.Second
	// pageOfLetters is how many letters a page has unless it is told, and maxPage how many it
	// may have. With payloads it ends before maxPageBytes, but has one letter at least.
	pageOfLetters = 50
	maxPage       = 200
	maxPageBytes  = 1 << 20
)

// letters answers with a page of dead letters.
func (s *Server) letters(w http.ResponseWriter, r *http.Request) error {
	service, err := serviceOf(r)
	if err != nil {
		return err
	}
	q, err := queryOf(r, "method", "consumer", "reason", "after", "limit")
	if err != nil {
		return err
	}
	f := aegisadmin.LetterFilter{Method: q.text("method"), Consumer: q.text("consumer"), Reason: q.text("reason")}
	if f.Method != "" && !validMethod(f.Method) {
		return badRequest("the parameter method is no name of a method")
	}
	if f.After, err = q.number("after", 0, 0, math.MaxInt64); err != nil {
		return err
	}
	limit, err := q.number("limit", pageOfLetters, 1, maxPage)
	if err != nil {
		return err
	}
	s.config.Interest.Glance(interest.Work)
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	page, err := s.page(ctx, service, f, int(limit))
	if err != nil {
		return err
	}
	return reply(w, r, page)
}

// page reads a page. If that takes too long, it ends with the letters that were found.
func (s *Server) page(ctx context.Context, service string, f aegisadmin.LetterFilter, limit int) (*monitorapi.Letters, error) {
	x := &shower{server: s, service: service}
	page := &monitorapi.Letters{Letters: []monitorapi.Letter{}}
	last, size := uint64(0), 0
	for d, err := range s.admin.DeadLetters(ctx, service, f) {
		late := err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && len(page.Letters) > 0
		switch {
		case late, err == nil && (len(page.Letters) == limit || size > maxPageBytes):
			page.Next = &last
			return page, nil
		case err != nil:
			return nil, err
		}
		l := letterOf(d)
		l.Payload = x.letter(ctx, d)
		size += len(l.JSON)
		page.Letters = append(page.Letters, l)
		last = d.Sequence
	}
	return page, nil
}

func letterOf(d *aegis.DeadLetter) monitorapi.Letter {
	l := monitorapi.Letter{
		Service: d.Service, Method: d.Method, Consumer: d.Consumer, Sequence: d.Sequence, ID: d.ID, Reason: d.Reason,
		Attempts: d.Attempts, Time: d.Time, Sent: d.Sent, Returnable: d.Omitted == 0,
	}
	l.Code = codeOfReason(d.Reason)
	return l
}

// codeOfReason returns the code that a reason begins with; "" if it has none, as the text of
// a plain Go error.
func codeOfReason(reason string) string {
	word := reason
	if end := strings.IndexFunc(reason, func(c rune) bool { return c != '_' && (c < 'A' || c > 'Z') }); end >= 0 {
		word = reason[:end]
	}
	for c := aegis.CodeCanceled; c <= aegis.CodeUnauthenticated; c++ {
		if c.String() == word {
			return word
		}
	}
	return ""
}
