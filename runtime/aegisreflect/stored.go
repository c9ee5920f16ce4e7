package aegisreflect

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
)

// storedTimeout bounds the look for descriptors that were kept.
const storedTimeout = 5 * time.Second

// stored returns the service with the descriptors that were kept with its events and
// commands; nil if there are none.
func (r *Resolver) stored(ctx context.Context, name string) (*Service, error) {
	ctx, cancel := context.WithTimeout(ctx, storedTimeout)
	defer cancel()
	ns := r.conn.Namespace()
	var last error
	for _, stream := range []string{wire.EventStream(ns, name), wire.CommandStream(ns, name), wire.DeadStream(ns, name)} {
		var s jetstream.Stream
		err := undenied(ctx, r.conn, aboutStream(stream), func(ctx context.Context) (err error) {
			s, err = r.conn.JetStream().Stream(ctx, stream)
			return err
		})
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			continue
		case jserror.NotEnabled(err):
			return nil, nil //nolint:nilnil // nothing is stored
		case err != nil:
			return nil, aegis.Errorf(codeOf(err), "the stored descriptors of %s: the stream %s: %w", name, stream, err)
		}
		hash := s.CachedInfo().Config.Metadata[wire.DescriptorsKey]
		if !descset.ValidHash(hash) {
			continue
		}
		service, err := r.kept(ctx, name, hash)
		if service != nil {
			return service, nil
		}
		last = errors.Join(last, err)
	}
	return nil, last
}

// kept returns the service with descriptors out of the bucket; nil if the bucket does not
// have them.
func (r *Resolver) kept(ctx context.Context, name, hash string) (*Service, error) {
	if s := r.remembered(version{name, hash}); s != nil {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storedTimeout)
	defer cancel()
	bucket := wire.DescriptorsBucket(r.conn.Namespace())
	var entry jetstream.KeyValueEntry
	err := undenied(ctx, r.conn, aboutStream("KV_"+bucket), func(ctx context.Context) error {
		kv, err := r.conn.JetStream().KeyValue(ctx, bucket)
		if err == nil {
			entry, err = kv.Get(ctx, hash)
		}
		return err
	})
	switch {
	case err == nil:
		return r.decode(entry.Value(), version{name, hash}, "the bucket "+bucket)
	case errors.Is(err, jetstream.ErrBucketNotFound), errors.Is(err, jetstream.ErrKeyNotFound), jserror.NotEnabled(err):
		return nil, nil //nolint:nilnil // they are not there
	default:
		return nil, aegis.Errorf(codeOf(err), "the stored descriptors %s of %s: the bucket %s: %w", hash, name, bucket, err)
	}
}

// codeOf returns the code of an error of JetStream.
func codeOf(err error) aegis.Code {
	if code := aegis.CodeOf(err); code != aegis.CodeUnknown {
		return code
	}
	return aegis.CodeUnavailable
}

// aboutStream reports of a subject whether it is that of a request about a stream to
// JetStream, wherever that is.
func aboutStream(stream string) func(subject string) bool {
	return func(subject string) bool {
		return strings.Contains(subject, ".API.") && strings.Contains(subject+".", "."+stream+".")
	}
}
