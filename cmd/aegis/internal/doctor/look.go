package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
)

// look is one pass of the checks over the system. What several checks need is read once.
type look struct {
	*Session
	scope Scope

	account   func(context.Context) (*account, error)
	streams   func(context.Context) ([]*stream, error)
	consumers func(context.Context) ([]*consumer, error)
	records   func(context.Context) ([]entry, error) // of the registry
	leaders   func(context.Context) ([]entry, error)
	registry  func(context.Context) (*stream, error) // the streams of the buckets
	leadersAt func(context.Context) (*stream, error)
	servers   func(context.Context) ([]seenServer, error)
}

func newLook(s *Session, scope Scope) *look {
	l := &look{Session: s, scope: scope}
	l.account = once(l.readAccount)
	l.servers = once(l.readServers)
	l.streams = once(l.readStreams)
	l.consumers = once(l.readConsumers)
	l.registry = once(func(ctx context.Context) (*stream, error) {
		return l.readStream(ctx, kvStream(wire.RegistryBucket(l.namespace)), "")
	})
	l.leadersAt = once(func(ctx context.Context) (*stream, error) {
		return l.readStream(ctx, kvStream(wire.LeaderBucket(l.namespace)), "")
	})
	l.records = once(func(ctx context.Context) ([]entry, error) { return l.readBucket(ctx, l.registry) })
	l.leaders = once(func(ctx context.Context) ([]entry, error) { return l.readBucket(ctx, l.leadersAt) })
	return l
}

// once returns a function that reads once and remembers the outcome.
func once[T any](read func(context.Context) (T, error)) func(context.Context) (T, error) {
	var mu sync.Mutex // guards the variables below
	var done bool
	var value T
	var err error
	return func(ctx context.Context) (T, error) {
		mu.Lock()
		defer mu.Unlock()
		if !done {
			value, err = read(ctx)
			done = true
		}
		return value, err
	}
}

// account is how much of JetStream the account has used and may use.
type account struct {
	Memory    int64         `json:"memory"`
	Store     int64         `json:"storage"`
	Streams   int           `json:"streams"`
	Consumers int           `json:"consumers"`
	Domain    string        `json:"domain"`
	Limits    accountLimits `json:"limits"`
	// Tiers have the figures of accounts whose limits differ by the number of replicas.
	Tiers map[string]accountTier `json:"tiers"`
}

type accountTier struct {
	Memory    int64         `json:"memory"`
	Store     int64         `json:"storage"`
	Streams   int           `json:"streams"`
	Consumers int           `json:"consumers"`
	Limits    accountLimits `json:"limits"`
}

// accountLimits are limits of an account; -1 stands for none.
type accountLimits struct {
	MaxMemory        int64 `json:"max_memory"`
	MaxStore         int64 `json:"max_storage"`
	MaxStreams       int   `json:"max_streams"`
	MaxConsumers     int   `json:"max_consumers"`
	MaxAckPending    int   `json:"max_ack_pending"`
	MaxStreamBytes   int64 `json:"storage_max_stream_bytes"`
	MaxBytesRequired bool  `json:"max_bytes_required"`
}

func (l *look) readAccount(ctx context.Context) (*account, error) {
	var a account
	if err := l.call(ctx, "INFO", nil, &a); err != nil {
		return nil, err
	}
	return &a, nil
}

// stream is a stream as JetStream describes it. Where it is one of Aegis's, kind and
// service say which.
type stream struct {
	jetstream.StreamInfo
	kind    streamKind
	service string
}

func (l *look) streamOf(info *jetstream.StreamInfo) *stream {
	s := &stream{StreamInfo: *info}
	s.kind, s.service = parseStreamName(l.namespace, info.Config.Name)
	return s
}

// readStream reads one stream; filter, unless it is "", asks for its subjects.
func (l *look) readStream(ctx context.Context, name, filter string) (*stream, error) {
	var body any
	if filter != "" {
		body = map[string]string{"subjects_filter": filter}
	}
	var info jetstream.StreamInfo
	if err := l.call(ctx, "STREAM.INFO."+name, body, &info); err != nil {
		return nil, err
	}
	return l.streamOf(&info), nil
}

// readStreams returns the streams of the services in the scope, and those of others that
// take subjects of the namespace.
func (l *look) readStreams(ctx context.Context) ([]*stream, error) {
	all, err := l.listStreams(ctx)
	if _, denied := errors.AsType[*deniedError](err); denied && l.scope.Service != "" {
		return l.readOwnStreams(ctx) // a user may be allowed to look at those of a service
	}
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s *stream) bool {
		return l.scope.Service != "" && s.kind != kindNone && s.service != l.scope.Service
	}), nil
}

func (l *look) listStreams(ctx context.Context) ([]*stream, error) {
	var all []*stream
	for {
		var page struct {
			Total   int                     `json:"total"`
			Limit   int                     `json:"limit"`
			Streams []*jetstream.StreamInfo `json:"streams"`
		}
		body := map[string]any{"offset": len(all), "subject": l.namespace + ".>"}
		if err := l.call(ctx, "STREAM.LIST", body, &page); err != nil {
			return nil, err
		}
		for _, info := range page.Streams {
			all = append(all, l.streamOf(info))
		}
		if len(page.Streams) == 0 || len(all) >= page.Total {
			return all, nil
		}
	}
}

// readOwnStreams reads the streams of the one service in the scope by their names.
func (l *look) readOwnStreams(ctx context.Context) ([]*stream, error) {
	var found []*stream
	for _, name := range streamNames(l.namespace, l.scope.Service) {
		s, err := l.readStream(ctx, name, "")
		switch {
		case isCode(err, codeStreamNotFound):
		case err != nil:
			return nil, err
		default:
			found = append(found, s)
		}
	}
	return found, nil
}

// consumer is a consumer as JetStream describes it.
type consumer struct {
	jetstream.ConsumerInfo
	of *stream
}

// many is how many requests a look has under way at a time.
const many = 16

// readConsumers returns the consumers of the streams of events and commands.
func (l *look) readConsumers(ctx context.Context) ([]*consumer, error) {
	streams, err := l.streams(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // guards the variables below
	found := make(map[string][]*consumer)
	var failed error
	var wait sync.WaitGroup
	turns := make(chan struct{}, many)
	for _, s := range streams {
		if s.kind != kindEvents && s.kind != kindCommands || s.State.Consumers == 0 {
			continue
		}
		turns <- struct{}{}
		wait.Go(func() {
			defer func() { <-turns }()
			list, err := l.listConsumers(ctx, s)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			found[s.Config.Name] = list
		})
	}
	wait.Wait()
	if failed != nil {
		return nil, failed
	}
	var all []*consumer
	for _, name := range slices.Sorted(maps.Keys(found)) {
		all = append(all, found[name]...)
	}
	return all, nil
}

func (l *look) listConsumers(ctx context.Context, s *stream) ([]*consumer, error) {
	var all []*consumer
	for {
		var page struct {
			Total     int                       `json:"total"`
			Consumers []*jetstream.ConsumerInfo `json:"consumers"`
		}
		err := l.call(ctx, "CONSUMER.LIST."+s.Config.Name, map[string]any{"offset": len(all)}, &page)
		if isCode(err, codeStreamNotFound) {
			return nil, nil // it was removed since the streams were read
		}
		if err != nil {
			return nil, err
		}
		for _, info := range page.Consumers {
			all = append(all, &consumer{ConsumerInfo: *info, of: s})
		}
		if len(page.Consumers) == 0 || len(all) >= page.Total {
			return all, nil
		}
	}
}

// stored is a message as a stream has it.
type stored struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Data    []byte    `json:"data"`
	Time    time.Time `json:"time"`
}

// firstMessage returns the first message from a sequence on that a filter matches, nil if
// there is none.
func (l *look) firstMessage(ctx context.Context, stream string, from uint64, filter string) (*stored, error) {
	var answer struct {
		Message stored `json:"message"`
	}
	err := l.call(ctx, "STREAM.MSG.GET."+stream, map[string]any{"seq": max(from, 1), "next_by_subj": filter}, &answer)
	if isCode(err, codeMessageNotFound) {
		return nil, nil //nolint:nilnil // no message is no error
	}
	if err != nil {
		return nil, err
	}
	return &answer.Message, nil
}

func kvStream(bucket string) string { return "KV_" + bucket }

// entry is the last value of a key of a bucket.
type entry struct {
	key  string
	data []byte
	time time.Time // when it was stored, by the clock of NATS
}

// readBucket returns the values that a bucket has, without those that were deleted.
func (l *look) readBucket(ctx context.Context, find func(context.Context) (*stream, error)) ([]entry, error) {
	s, err := find(ctx)
	if err != nil {
		return nil, err
	}
	if s.State.Msgs == 0 {
		return nil, nil
	}
	prefix := "$KV." + strings.TrimPrefix(s.Config.Name, "KV_") + "."
	filter := prefix + ">"
	if l.scope.Service != "" {
		filter = prefix + l.scope.Service + ".>"
	}
	return l.readLast(ctx, s.Config.Name, prefix, filter)
}

// readLast reads the last message of each subject with a consumer that NATS forgets by
// itself.
func (l *look) readLast(ctx context.Context, name, prefix, filter string) ([]entry, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	inbox := l.nc.NewInbox()
	sub, err := l.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a connection that is closed
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	id := "aegis-doctor-" + rand.Text()
	create := map[string]any{"stream_name": name, "action": "create", "config": map[string]any{
		"name": id, "deliver_subject": inbox, "deliver_policy": "last_per_subject", "filter_subject": filter, "ack_policy": "none",
		"max_deliver": 1, "mem_storage": true, "num_replicas": 1, "inactive_threshold": 10 * time.Second, "replay_policy": "instant",
	}}
	var info jetstream.ConsumerInfo
	if err := l.call(ctx, "CONSUMER.CREATE."+name+"."+id+"."+filter, create, &info); err != nil {
		return nil, err
	}
	defer l.forget(ctx, name, id)
	left := info.NumPending + info.Delivered.Consumer
	var entries []entry
	for left > 0 {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, fmt.Errorf("%d values did not come: %w", left, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			continue // a status message
		}
		left = meta.NumPending
		if !deleted(msg) {
			entries = append(entries, entry{key: strings.TrimPrefix(msg.Subject, prefix), data: msg.Data, time: meta.Timestamp})
		}
	}
	return entries, nil
}

// forget removes a consumer, or leaves it to its inactive threshold if this user may not.
func (l *look) forget(ctx context.Context, stream, name string) {
	if l.refused(l.api + ".CONSUMER.DELETE." + stream) {
		return
	}
	var answer struct{}
	err := l.call(ctx, "CONSUMER.DELETE."+stream+"."+name, nil, &answer)
	if _, denied := errors.AsType[*deniedError](err); denied {
		l.refuse(l.api + ".CONSUMER.DELETE." + stream)
	}
}

// deleted reports whether a message of a bucket says that its key was deleted.
func deleted(msg *nats.Msg) bool {
	return msg.Header.Get("KV-Operation") != "" || len(msg.Data) == 0 && msg.Header.Get(jetstream.MarkerReasonHeader) != ""
}
