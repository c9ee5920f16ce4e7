//go:build linux

package durable

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/check"
	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	"github.com/aegisrpc/aegis/internal/fault/history"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// readWithin bounds the reading of the stores.
const readWithin = 2 * time.Minute

// judge reads what everybody recorded, and the stores.
func (d *run) judge(ctx context.Context, res *Result) error {
	handled, err := d.Handled()
	if err != nil {
		return err
	}
	sent, err := d.Called()
	if err != nil {
		return err
	}
	h := &check.Durable{
		Workers: handled, Sent: sent, Killed: d.dead, Outages: d.outages, Deposed: d.deposed, Left: d.left,
		Given: make(map[string]map[uint64][]int64),
	}
	for name, p := range d.proxies {
		h.Given[name] = p.Delivered()
	}
	if h.Attempts, h.AckWait, err = d.of.limits(d.size.ackWait); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	conn, err := aegis.NewConn(d.Monitor)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // it is not ours to close
	names, err := deadLetters(ctx, conn, h)
	if err != nil {
		return fmt.Errorf("the dead letters: %w", err)
	}
	if !d.of.events {
		if err := d.readCommands(ctx, conn, h, names); err != nil {
			return err
		}
	}
	if err := d.writeFaults(h); err != nil {
		return err
	}
	res.DurableVerdict = check.JudgeDurable(h)
	res.refusals(h)
	return nil
}

// writeFaults writes, beside the histories and by their clock, when NATS and the
// workers had faults, and when workers were given items. Findings cannot be explained
// without that.
func (d *run) writeFaults(h *check.Durable) error {
	data, err := json.MarshalIndent(struct {
		Killed  map[string]int64 `json:"killed"`
		Outages []check.Outage   `json:"outages"`
		Deposed []check.Outage   `json:"deposed"`

		Given map[string]map[uint64][]int64 `json:"given,omitempty"`
	}{h.Killed, h.Outages, h.Deposed, h.Given}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.Dir, "faults.json"), data, 0o600)
}

// refusals counts the refused sends by code.
func (r *Result) refusals(h *check.Durable) {
	for _, sent := range h.Sent {
		if sent.Kind == history.Called && sent.Outcome == history.Refused {
			if r.Refusals == nil {
				r.Refusals = make(map[string]int)
			}
			r.Refusals[aegis.Code(sent.Term).String()]++
		}
	}
}

// deadLetters reads the dead letters. It returns the numbers of the failed commands
// by their ids, as the results of these commands do not name them.
func deadLetters(ctx context.Context, conn *aegis.Conn, h *check.Durable) (map[string]uint64, error) {
	names := make(map[string]uint64)
	for letter, err := range conn.DeadLetters(ctx, faultv1aegis.DurableServiceName) {
		if err != nil {
			return nil, err
		}
		body := new(faultv1.ChangedRequest) // the id is the same field of all three
		if err := letter.Unmarshal(body); err != nil {
			return nil, err
		}
		names[letter.ID] = body.GetId()
		h.Dead = append(h.Dead, check.Dead{ID: body.GetId(), Attempts: letter.Attempts, At: history.At(letter.Time)})
	}
	return names, nil
}

// readCommands reads what is stored of commands, and finds some by their id.
func (d *run) readCommands(ctx context.Context, conn *aegis.Conn, h *check.Durable, names map[string]uint64) error {
	ids, err := d.sentCommands()
	if err != nil {
		return err
	}
	for number, id := range ids {
		names[id] = number
	}
	kept, err := d.results.kept(ctx, d.Monitor)
	if err != nil {
		return err
	}
	h.Results = d.results.judged(kept, names)
	h.Found, err = findAgain(ctx, conn, toFind(h, ids))
	return err
}

// sampled is about how many commands are found again by their id, besides the
// commands whose sender was told no result.
const sampled = 1000

// toFind picks the commands that are to be found again.
func toFind(h *check.Durable, ids map[uint64]string) map[uint64]string {
	told := make(map[uint64]bool)
	for _, r := range h.Sent {
		if r.Kind == history.Resulted && r.Outcome != history.Unknown {
			told[r.ID] = true
		}
	}
	each := uint64(max(1, len(ids)/sampled))
	chosen := make(map[uint64]string)
	for number, id := range ids {
		if !told[number] || number%each == 0 {
			chosen[number] = id
		}
	}
	return chosen
}

const findersAtOnce = 8

// findAgain asks handles that have nothing but an id.
func findAgain(ctx context.Context, conn *aegis.Conn, ids map[uint64]string) (map[uint64]check.Found, error) {
	var mu sync.Mutex
	var failure error
	found := make(map[uint64]check.Found)
	numbers := make(chan uint64)
	var finders sync.WaitGroup
	for range findersAtOnce {
		finders.Go(func() {
			for number := range numbers {
				f, err := find(ctx, faultv1aegis.DurableServiceWorkCommand(conn, ids[number]))
				mu.Lock()
				if found[number] = f; err != nil {
					failure = fmt.Errorf("look for command %d by its id %s: %w", number, ids[number], err)
				}
				mu.Unlock()
			}
		})
	}
	for number := range ids {
		numbers <- number
	}
	close(numbers)
	finders.Wait()
	return found, failure
}

func find(ctx context.Context, command *aegis.Command[faultv1.WorkResponse]) (check.Found, error) {
	status, err := command.Status(ctx)
	switch {
	case err != nil:
		return check.Found{}, err
	case status.State == aegis.CommandUnknown:
		return check.Found{}, nil
	case !status.State.Ended():
		return check.Found{State: check.FoundWaiting}, nil
	}
	res, err := command.Result(ctx)
	switch {
	case err == nil:
		return check.Found{State: check.FoundEnded, End: check.End{OK: true, Run: res.GetRun()}}, nil
	case aegis.IsWireError(err):
		return check.Found{State: check.FoundEnded, End: check.End{Code: uint64(aegis.CodeOf(err))}}, nil
	default:
		return check.Found{}, err
	}
}
