package aegistest

import (
	"context"
	"sync"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/inside"
	"github.com/aegisrpc/aegis/runtime/internal/leader"
)

// firstTimeout bounds how long a server waits before it starts for what lets its first
// leader lead at once.
const firstTimeout = 5 * time.Second

// firsts knows which buckets of leaders, and which groups in them, are the first ones of
// their names on a NATS server, or a cluster, that was empty when it was started. Nobody can
// have led these groups before, so that they are released: rule S4 of docs/election.md
// applies, and rule S3 has nothing to wait for. It is safe for concurrent use.
type firsts struct {
	mu      sync.Mutex           // guards the next two, and is held while a server is prepared
	buckets map[string]time.Time // when the bucket was made; zero for one that was not made here
	groups  map[string]bool      // those that are released, or have been let be, by their full names
}

func newFirsts() *firsts { return &firsts{buckets: map[string]time.Time{}, groups: map[string]bool{}} }

// prepare releases the groups of a server that is about to run.
func (f *firsts) prepare(srv *aegis.Server) error {
	in := inside.OfServer(srv)
	if len(in.Elections) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), firstTimeout)
	defer cancel()
	founding := leader.NewFounding(in.Elector)
	f.mu.Lock()
	defer f.mu.Unlock()
	made, err := f.found(ctx, founding)
	if made.IsZero() || err != nil {
		return err
	}
	for _, e := range in.Elections {
		name := founding.Bucket() + " " + e.Service + " " + e.Group
		if f.groups[name] {
			continue // it may have been led since
		}
		f.groups[name] = true
		if err := founding.Release(ctx, made, e.Service, e.Group, e.Config); err != nil {
			return err
		}
	}
	return nil
}

// found makes a bucket if it is the first one of its name, and returns when it was made. The
// time is zero where somebody else has made the bucket, or may have: another one could have
// been there before, and deleted.
func (f *firsts) found(ctx context.Context, founding *leader.Founding) (made time.Time, err error) {
	made, known := f.buckets[founding.Bucket()]
	if known {
		return made, nil
	}
	f.buckets[founding.Bucket()] = time.Time{}
	if exists, err := founding.Exists(ctx); exists || err != nil {
		return time.Time{}, err
	}
	if made, err = founding.Make(ctx); err == nil {
		f.buckets[founding.Bucket()] = made
	}
	return made, err
}

// started has the firsts of the NATS servers that run in this process, by the ids of the
// servers: a connection tells nothing else of the server that it has reached, be it through a
// link or by another package's doing.
var started sync.Map //nolint:gochecknoglobals // as is the fact that a server runs

func rememberFirsts(serverID string, f *firsts) {
	if f != nil {
		started.Store(serverID, f)
	}
}

func forgetFirsts(serverID string) { started.Delete(serverID) }

// firstsOf returns the firsts of the NATS that a connection has, or nil.
func firstsOf(conn *aegis.Conn) *firsts {
	if f, ok := started.Load(conn.NATS().ConnectedServerId()); ok {
		return f.(*firsts) //nolint:forcetypeassert // nothing else is stored
	}
	return nil
}
