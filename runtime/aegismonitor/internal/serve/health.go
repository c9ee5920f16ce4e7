package serve

import (
	"net/http"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// healthy says that the process answers.
func (s *Server) healthy(w http.ResponseWriter, r *http.Request) error {
	c := content{kind: typeText, data: []byte("ok\n")}
	c.write(w, r)
	return nil
}

// ready says whether the monitor has something to show, or what it lacks.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) error {
	if s.config.Board.Ready() {
		c := content{kind: typeText, data: []byte("ready\n")}
		c.write(w, r)
		return nil
	}
	return newProblem(http.StatusServiceUnavailable, "not ready: "+strings.Join(s.missing(), ", ")).with("Retry-After", "1")
}

// missing names what a monitor must have read to be ready.
func (s *Server) missing() []string {
	head := s.config.Board.Header(time.Now())
	var list []string
	if !head.NATS.Connected {
		list = append(list, "NATS is not connected")
	}
	for _, source := range head.Sources {
		needed := source.Name == monitorapi.SourceInstances || source.Name == monitorapi.SourceFigures
		if needed && source.State != monitorapi.SourceReady {
			list = append(list, string(source.Name)+": "+string(source.State))
		}
	}
	if len(list) == 0 {
		return []string{"nothing was read yet"}
	}
	return list
}
