package serve

import (
	"fmt"
	"net/http"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// action is something that a user does over the monitor. Neither messages nor their metadata
// are in it, as it is logged.
type action struct {
	name     string // "put back", "delete" or "call"
	service  string
	method   string // "" for single dead letters
	instance string // "" for any
	// done is how much was done, and failed how much was not.
	done, failed int
}

// audit tells the log of an action, and with it the events of the system, of which text says
// what the user has done.
func (s *Server) audit(r *http.Request, a *action, err error, text string) {
	outcome, level := "OK", monitorapi.LevelOK
	if err != nil {
		outcome, level = aegis.CodeOf(err).String(), monitorapi.LevelAttention
	} else if a.failed > 0 {
		level = monitorapi.LevelAttention
	}
	s.config.Logger.Info("aegismonitor: action",
		"action", a.name, "user", userOf(r), "remote", r.RemoteAddr,
		"service", a.service, "method", a.method, "instance", a.instance,
		"done", a.done, "failed", a.failed, "outcome", outcome)
	s.config.Board.Acted(time.Now(), monitorapi.Event{
		Kind: monitorapi.EventAction, Level: level, Service: a.service, Method: a.method, Instance: a.instance,
		Text: userOf(r) + " " + text,
	})
	s.hub.Urgent()
}

// forbidden says which option allows what a user wants to do, and tells the log of it.
func (s *Server) forbidden(r *http.Request, what, option, flag string) error {
	s.config.Logger.Warn("aegismonitor: an action is not allowed", "action", what, "user", userOf(r), "remote", r.RemoteAddr, "path", r.URL.Path)
	return newProblem(http.StatusForbidden, fmt.Sprintf(
		"this monitor does not let its users %s: start it with %s, or in a program with the option aegismonitor.%s", what, flag, option))
}
