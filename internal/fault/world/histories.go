//go:build linux

package world

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/history"
)

// historySuffix ends the names of histories.
const historySuffix = ".history"

// AddHistory returns the file in which a process is to record what it handles.
func (w *World) AddHistory(process string) string {
	w.histories[process] = w.historyPath(process)
	return w.histories[process]
}

// AddCalls returns the file in which a process is to record what it calls or sends.
func (w *World) AddCalls(process string) string {
	path := w.historyPath(process)
	w.calls = append(w.calls, path)
	return path
}

// AddUnanswered records a call of the harness itself, whose outcome nobody gets to
// know.
func (w *World) AddUnanswered(r history.Record) { w.unanswered = append(w.unanswered, r) }

// Unanswered is how many calls the harness has made itself.
func (w *World) Unanswered() int { return len(w.unanswered) }

// Handled reads the histories of the processes that handle calls or work, by process.
func (w *World) Handled() (map[string][]history.Record, error) {
	all := make(map[string][]history.Record)
	for process, path := range w.histories {
		records, err := history.Read(path)
		if os.IsNotExist(err) {
			continue // it was killed before it began
		}
		if err != nil {
			return nil, err
		}
		all[process] = records
	}
	return all, nil
}

// Called reads the histories of the processes that call or send, and adds the calls
// of the harness itself.
func (w *World) Called() ([]history.Record, error) {
	all := w.unanswered
	for _, path := range w.calls {
		records, err := history.Read(path)
		if err != nil {
			return nil, err
		}
		all = append(all, records...)
	}
	return all, nil
}

// window is a time in which callers may get NOT_ACTIVE and LEADERSHIP_LOST. Its end
// is 0 as long as the window is open.
type window struct{ from, to int64 }

// OpenWindow begins the time in which callers may notice a fault. Settle ends it.
func (w *World) OpenWindow() { w.windows = append(w.windows, window{from: history.Now()}) }

func (w *World) closeWindow() {
	if n := len(w.windows); n > 0 && w.windows[n-1].to == 0 {
		w.windows[n-1].to = history.Now()
	}
}

// Excused tells whether a call met a fault.
func (w *World) Excused(c history.Record) bool {
	for _, f := range w.windows {
		if c.End >= f.from && (f.to == 0 || c.Begin <= f.to) {
			return true
		}
	}
	return false
}

// Harness is shared by all scenarios: the log, and the folder in which the files of
// bad runs are kept.
type Harness struct {
	Log     *slog.Logger
	Folder  string // where the files of a bad run go
	KeepAll bool   // and those of a good one
}

// Preserve copies the logs and histories of a world if the run was bad, or if the
// user wants the files of good runs too.
func (h *Harness) Preserve(w *World, name string, bad bool) {
	if !bad && !h.KeepAll {
		return
	}
	to := filepath.Join(h.Folder, fmt.Sprint(name, "-", w.Callers, "-", time.Now().Format("150405")))
	if err := w.copyTo(to); err != nil {
		h.Log.Warn("logs and histories cannot be kept", "err", err)
		return
	}
	h.Log.Warn("logs and histories are kept", "folder", to)
}

func (w *World) copyTo(folder string) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	entries, err := os.ReadDir(w.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			continue // the stores of NATS
		}
		if err := copyFile(filepath.Join(folder, e.Name()), filepath.Join(w.Dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// copyFile leaves out the room of a history that was not used.
func copyFile(to, from string) error {
	if filepath.Ext(from) == historySuffix {
		return history.Copy(to, from)
	}
	data, err := os.ReadFile(from) //nolint:gosec // our own file
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600) //nolint:gosec // our own file
}
