package serve

import (
	"context"
	"net/http"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// maxLetters bounds the dead letters of one command that are shown.
const maxLetters = 20

// command answers with one command, by its id.
func (s *Server) command(w http.ResponseWriter, r *http.Request) error {
	service, err := serviceOf(r)
	if err != nil {
		return err
	}
	if _, err := queryOf(r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	c, err := s.admin.Command(ctx, service, r.PathValue("id"))
	if err != nil {
		return err
	}
	x := &shower{server: s, service: service}
	d := detailOf(c)
	d.Header = s.config.Board.Header(time.Now())
	d.May = s.config.May
	d.Payload = x.command(ctx, c)
	d.Letters = s.lettersOf(ctx, c, x)
	return reply(w, r, d)
}

func detailOf(c *aegisadmin.Command) *monitorapi.CommandDetail {
	d := &monitorapi.CommandDetail{
		Service: c.Service, ID: c.ID, Method: c.Method, State: string(c.State), Priority: c.Priority, Stored: c.Stored,
		Due: unlessZero(c.Due), Expires: unlessZero(c.Expires), FailedAt: unlessZero(c.FailedAt),
		Attempt: c.Attempt, Failures: c.Failures, Canceling: c.Canceling,
	}
	if c.Progress != nil {
		d.Message = c.Progress.Message
		if p := c.Progress.Percent; p >= 0 && p <= 100 { // and no NaN, which JSON has not
			d.Percent = &p
		}
	}
	if c.Err != nil {
		d.Code, d.Error = aegis.CodeOf(c.Err).String(), c.Err.Error()
	}
	return d
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// lettersOf returns the dead letters of a command. That they cannot be read, the sources in
// the header say.
func (s *Server) lettersOf(ctx context.Context, c *aegisadmin.Command, x *shower) []monitorapi.Letter {
	list := []monitorapi.Letter{}
	for d, err := range s.admin.DeadLetters(ctx, c.Service, aegisadmin.LetterFilter{ID: c.ID}) {
		if err != nil || len(list) == maxLetters {
			return list
		}
		l := letterOf(d)
		l.Payload = x.letter(ctx, d)
		list = append(list, l)
	}
	return list
}

const (
	// maxAsked bounds the services that are asked for a command, and findTimeout the time.
	maxAsked    = 50
	findTimeout = 2 * time.Second
)

// addCommand adds the command with an id to what was found, if a text is one. Commands are
// not on the board, and are found by their whole ids alone.
func (s *Server) addCommand(ctx context.Context, id string, found *monitorapi.Results) {
	if !wire.ValidCommandID(id) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	asked := 0
	for _, stream := range s.config.Board.Work(time.Now()).Streams {
		if stream.Kind != "commands" || asked == maxAsked {
			continue
		}
		asked++
		if c, err := s.admin.Command(ctx, stream.Service, id); err == nil {
			result := monitorapi.Result{Kind: "command", Service: c.Service, Name: c.ID, Level: monitorapi.LevelOK}
			found.Results = append([]monitorapi.Result{result}, found.Results...)
			return
		}
	}
}
