//go:build linux

package durable

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/fault/check"
	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
)

// resultFollower reads the results as they are stored: of two for one command the
// stream keeps the second.
type resultFollower struct {
	consuming jetstream.ConsumeContext

	mu  sync.Mutex
	all map[uint64]storedResult // by sequence
}

type storedResult struct {
	command string
	header  string // the state
	code    string
	data    []byte
}

func (f *resultFollower) follow(ctx context.Context, js jetstream.JetStream) error {
	f.all = make(map[uint64]storedResult)
	consumer, err := js.OrderedConsumer(ctx, resultStream(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{resultSubjects()}})
	if err != nil {
		return err
	}
	f.consuming, err = consumer.Consume(func(msg jetstream.Msg) {
		if meta, err := msg.Metadata(); err == nil { // else it is none of the stream's
			f.take(meta.Sequence.Stream, msg.Subject(), msg.Headers(), msg.Data())
		}
	})
	return err
}

// resultSubjects matches the subjects of all results.
func resultSubjects() string {
	return wire.NewSubjects(wire.DefaultNamespace).Result(faultv1aegis.DurableServiceName, "*.*", wire.ResultResult)
}

func (f *resultFollower) take(sequence uint64, subject string, header nats.Header, data []byte) {
	id, _ := wire.ParseCommandID(subject, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[sequence] = storedResult{id, header.Get(wire.HeaderState), header.Get(wire.HeaderServiceErrorCode), data}
}

func (f *resultFollower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all)
}

func (f *resultFollower) stop() { f.consuming.Stop() }

// kept reads what is stored in the end: the sequences of all results. The leader is
// asked, as a consumer may be on a replica that has not caught up.
func (f *resultFollower) kept(ctx context.Context, nc *nats.Conn) (map[uint64]bool, error) {
	kept := make(map[uint64]bool)
	for last := uint64(0); ; {
		msg, err := resultAfter(ctx, nc, last)
		if err != nil {
			return nil, fmt.Errorf("read the results after sequence %d: %w", last, err)
		}
		if msg == nil {
			return kept, nil
		}
		header, err := nats.DecodeHeadersMsg(msg.Header)
		if err != nil {
			return nil, fmt.Errorf("the headers of sequence %d of the results: %w", msg.Sequence, err)
		}
		f.take(msg.Sequence, msg.Subject, header, msg.Data)
		kept[msg.Sequence], last = true, msg.Sequence
	}
}

// readResult is a result as the leader of its stream answers it.
type readResult struct {
	Subject  string `json:"subject"`
	Sequence uint64 `json:"seq"`
	Header   []byte `json:"hdrs"`
	Data     []byte `json:"data"`
}

// resultAfter reads the next result after a sequence, nil if there is none.
func resultAfter(ctx context.Context, nc *nats.Conn, sequence uint64) (*readResult, error) {
	question, err := json.Marshal(map[string]any{"seq": sequence + 1, "next_by_subj": resultSubjects()})
	if err != nil {
		return nil, err
	}
	reply, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+resultStream(), question)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *readResult         `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, err
	}
	if e := answer.Error; e != nil {
		if e.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return nil, nil //nolint:nilnil // as it says
		}
		return nil, e
	}
	return answer.Message, nil
}

// judged returns all results for the judge.
func (f *resultFollower) judged(kept map[uint64]bool, names map[string]uint64) []check.Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	results := []check.Result{}
	for sequence, r := range f.all {
		result := check.Result{Command: r.command, ID: names[r.command], Gone: !kept[sequence]}
		body := new(faultv1.WorkResponse)
		if r.header == wire.StateSucceeded && proto.Unmarshal(r.data, body) == nil {
			result.ID, result.OK, result.Run = body.GetId(), true, body.GetRun()
		} else {
			result.Code, _ = strconv.ParseUint(r.code, 10, 64) // 0 is no code
		}
		results = append(results, result)
	}
	return results
}

// sentCommands reads which command has which id.
func (d *run) sentCommands() (map[uint64]string, error) {
	f, err := os.Open(d.ids)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	ids := make(map[uint64]string)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var number uint64
		var id string
		if _, err := fmt.Sscan(lines.Text(), &number, &id); err != nil {
			return nil, fmt.Errorf("%s: %w", d.ids, err)
		}
		ids[number] = id
	}
	return ids, lines.Err()
}
