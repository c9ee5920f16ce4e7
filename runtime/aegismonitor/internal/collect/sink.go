package collect

import (
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
)

// sink is what a board takes in; a *board.Board has these methods.
type sink interface {
	Connected(now time.Time, s board.Server)
	Disconnected(now time.Time)
	Source(now time.Time, name monitorapi.SourceName, state monitorapi.SourceState, problem string)

	InstanceChanged(now time.Time, change aegis.InstanceChange)
	Instances(now time.Time, list []aegis.Instance)
	Stats(now time.Time, s *board.Stats)
	Described(service string, d *board.Description)
	Tick(now time.Time)

	leaderSink
	workSink
}

type leaderSink interface {
	Led(now time.Time, service, group string, l reigns.Leader)
	Released(now time.Time, service, group string, term uint64)
	Gone(now time.Time, process string)
	Answered(now time.Time, process string)
	Missed(now, since time.Time, process string)
	LeaderRecords(now time.Time, list []aegisadmin.Leadership)
	ToProbe() []board.ToProbe
}

type workSink interface {
	ServiceWork(now time.Time, service string, w *board.ServiceWork)
	DeadLetters(now time.Time, service string, groups []aegisadmin.LetterGroup)
}
