package leader

import (
	"cmp"
	"context"
	"crypto/rand"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/bucket"
)

// Founding makes the bucket of leaders before any candidate does, and releases groups in it
// that nobody has led yet, so that their first leaders need not wait out a lease (S3, S4).
// It is for tests alone, which know of an empty NATS that no leader of an earlier bucket acts
// any more. A Founding is safe for concurrent use.
type Founding struct {
	records  *records
	noCreate bool
}

// NewFounding makes a Founding. Of the options it needs NATS, JetStream, Namespace, Bucket and
// Warn.
func NewFounding(o Options) *Founding {
	return &Founding{records: newRecords(&o), noCreate: o.Bucket.NoCreate}
}

// Bucket returns the name of the bucket.
func (f *Founding) Bucket() string { return f.records.bucket.Name() }

// Exists reports whether the bucket exists, or may not be made here.
func (f *Founding) Exists(ctx context.Context) (bool, error) {
	if f.noCreate {
		return true, nil
	}
	return f.records.bucket.Exists(ctx)
}

// Make makes the bucket as a candidate would, and returns when it was made. It returns the
// time of a bucket that exists.
func (f *Founding) Make(ctx context.Context) (created time.Time, err error) {
	f.records.bucket.ForgetStream()
	return f.records.bucket.Open(ctx)
}

// Release writes a released record for a group that has never had one, if the bucket is the
// one that was created then. Else the group is left as it is, which is no error.
func (f *Founding) Release(ctx context.Context, created time.Time, service, group string, c election.Config) error {
	now, err := f.Make(ctx)
	if err != nil || !now.Equal(created) {
		return err
	}
	balanced := election.Balanced.Config()
	data, err := election.Record{
		Instance: "none", Process: rand.Text(), Term: 1, Since: time.Now(),
		Lease: cmp.Or(c.Lease, balanced.Lease), Window: cmp.Or(c.Window, balanced.Window), Released: true,
	}.Encode()
	if err != nil {
		return err
	}
	_, err = f.records.bucket.Write(ctx, wire.LeaderKey(service, group, created.UnixNano()), data, 0)
	if bucket.LostRace(err) {
		return nil // a candidate was faster
	}
	return err
}
