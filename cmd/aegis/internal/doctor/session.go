package doctor

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
)

// Session is a connection to NATS with what the checks need to know about it. It is safe
// for concurrent use.
type Session struct {
	nc        *nats.Conn
	namespace string
	subjects  wire.Subjects
	api       string // the prefix of the JetStream API, without the last dot
	kvPrefix  string // goes before $KV where the JetStream is another one; ends with a dot, or is ""
	timeout   time.Duration

	mu      sync.Mutex // guards the fields below
	heard   error      // the last asynchronous error that the error handler was given
	more    chan struct{}
	waiting map[*denialWait]struct{}
	// deaf is set once NATS has refused the subscription to the replies.
	deaf  error
	never map[string]bool // see refuse
}

// sessionOptions are those of newSession.
type sessionOptions struct {
	NATS      *nats.Conn
	Namespace string
	// APIPrefix is that of the JetStream API. Default "$JS.API".
	APIPrefix string
	// Timeout bounds each request. Default 5 s.
	Timeout time.Duration
}

const (
	defaultAPIPrefix = "$JS.API"
	defaultInbox     = "_INBOX" // that of nats.go
	defaultTimeout   = 5 * time.Second
)

// newSession takes over the error handler of a connection.
func newSession(o sessionOptions) *Session {
	s := &Session{
		nc: o.NATS, namespace: o.Namespace, subjects: wire.NewSubjects(o.Namespace),
		api: strings.TrimSuffix(o.APIPrefix, "."), timeout: o.Timeout,
		more: make(chan struct{}), waiting: make(map[*denialWait]struct{}), never: make(map[string]bool),
	}
	if s.api == "" {
		s.api = defaultAPIPrefix
	}
	if s.api != defaultAPIPrefix {
		s.kvPrefix = s.api + "."
	}
	if s.timeout <= 0 {
		s.timeout = defaultTimeout
	}
	s.heard = o.NATS.LastError() // of which no handler of this session will hear
	o.NATS.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.hear(err) })
	return s
}

// What NATS may refuse a user, as permissions name it.
const (
	publishing  = "publish"
	subscribing = "subscribe"
)

// deniedError says that NATS does not allow this user to publish or to subscribe to a
// subject.
type deniedError struct {
	subject   string
	subscribe bool
}

func (e *deniedError) Error() string {
	verb := publishing
	if e.subscribe {
		verb = subscribing
	}
	return fmt.Sprintf("NATS does not allow this user to %s to %s", verb, e.subject)
}

var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]+)"`)

// denialOf returns the denial in an error of nats.go, nil if the error is about something
// else.
func denialOf(err error) *deniedError {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return nil
	}
	m := violation.FindStringSubmatch(err.Error())
	if m == nil {
		return nil
	}
	return &deniedError{subject: m[2], subscribe: strings.EqualFold(m[1], "subscription")}
}

// denialWait is somebody who waits for denials.
type denialWait struct {
	take func(*deniedError)
}

// watchDenials has take called with each denial until stop is called.
func (s *Session) watchDenials(take func(*deniedError)) (stop func()) {
	w := &denialWait{take: take}
	s.mu.Lock()
	s.waiting[w] = struct{}{}
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		delete(s.waiting, w)
		s.mu.Unlock()
	}
}

// hear takes an asynchronous error of the connection.
func (s *Session) hear(err error) {
	denial := denialOf(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = err
	close(s.more)
	s.more = make(chan struct{})
	if denial == nil {
		return
	}
	if denial.subscribe && strings.HasPrefix(denial.subject, s.inboxPrefix()) {
		s.deaf = denial
	}
	for w := range s.waiting {
		w.take(denial)
	}
}

// inboxPrefix returns what the subjects of replies begin with.
func (s *Session) inboxPrefix() string {
	if s.nc.Opts.InboxPrefix == "" {
		return defaultInbox
	}
	return s.nc.Opts.InboxPrefix
}

// settle waits until NATS has read all that was sent, and the error handler has heard of
// everything that NATS has refused of it.
func (s *Session) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := s.nc.FlushWithContext(ctx); err != nil {
		return err
	}
	// nats.go sets the last error when it reads it, before the answer to the flush, and
	// calls the handler later.
	last := s.nc.LastError()
	for {
		s.mu.Lock()
		heard, more := s.heard, s.more
		s.mu.Unlock()
		if last == nil || denialOf(last) == nil || heard == last { //nolint:errorlint // the very same error is waited for
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// refuse remembers that this user may not do something that is not needed, so that it is
// not tried again; refused reports it.
func (s *Session) refuse(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.never[what] = true
}

func (s *Session) refused(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.never[what]
}
