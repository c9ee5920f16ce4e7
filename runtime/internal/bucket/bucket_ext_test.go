package bucket_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/leaktest"
	"github.com/aegisrpc/aegis/runtime/internal/bucket"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

func TestMain(m *testing.M) { leaktest.Run(m) }

var (
	errAbsent = errors.New("there is no bucket")
	errCheck  = errors.New("the bucket captures other subjects")
)

func kind() *bucket.Kind {
	return &bucket.Kind{
		Description: "for tests", MaxAge: time.Hour, MaxValueSize: 1000, SpareBytes: 1 << 20, SizeOption: "set the size",
		Timeout: 5 * time.Second, Needs: "tests need", Unanswered: "nobody answered",
		Check: func(c *jetstream.StreamConfig, prefix string) error {
			if len(c.Subjects) != 1 || c.Subjects[0] != prefix+">" {
				return errCheck
			}
			return nil
		},
	}
}

// fixture is a NATS server with a connection to it.
type fixture struct {
	t   *testing.T
	nc  *nats.Conn
	api *stores.Stores
	js  jetstream.JetStream
}

func start(t *testing.T, o embednats.Options, options ...nats.Option) *fixture {
	t.Helper()
	s, err := embednats.Start(o)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	nc, err := nats.Connect(s.ClientURL(), options...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	b, err := bus.New(nc, nil, false)
	require.NoError(t, err)
	api, err := stores.New(b, "", "")
	require.NoError(t, err)
	return &fixture{t: t, nc: nc, api: api, js: api.JetStream()}
}

func startJetStream(t *testing.T) *fixture {
	t.Helper()
	return start(t, embednats.Options{StoreDir: t.TempDir()})
}

func (f *fixture) bucket(settings bucket.Settings) *bucket.Bucket {
	return bucket.New(bucket.Options{
		JetStream: f.api, Kind: kind(), Name: "ns-tests", Settings: settings, Absent: errAbsent, Warn: func(text string) { f.t.Error(text) },
	})
}

func (f *fixture) deleteStream() {
	f.t.Helper()
	require.NoError(f.t, f.js.DeleteStream(f.t.Context(), "KV_ns-tests"))
}

func TestABucketIsMadeOnce(t *testing.T) {
	t.Parallel()
	f := startJetStream(t)
	var opened sync.WaitGroup
	made := make([]time.Time, 8)
	for i := range made {
		opened.Go(func() {
			var err error
			made[i], err = f.bucket(bucket.Settings{MaxBytes: 5 << 20}).Open(t.Context())
			if err != nil {
				t.Error(err)
			}
		})
	}
	opened.Wait()
	for _, at := range made {
		require.Equal(t, made[0], at)
	}
	stream, err := f.js.Stream(t.Context(), "KV_ns-tests")
	require.NoError(t, err)
	c := stream.CachedInfo().Config
	require.Equal(t, []string{"$KV.ns-tests.>"}, c.Subjects)
	require.Equal(t, "for tests", c.Description)
	require.Equal(t, time.Hour, c.MaxAge)
	require.EqualValues(t, 1000, c.MaxMsgSize)
	require.EqualValues(t, 5<<20, c.MaxBytes)
	require.EqualValues(t, 1, c.MaxMsgsPerSubject)
	require.Equal(t, jetstream.DiscardNew, c.Discard)
	require.True(t, c.DenyDelete && c.AllowRollup)
	require.False(t, c.AllowDirect, "a read that a replica answers may be old")
	kv, err := f.js.KeyValue(t.Context(), "ns-tests")
	require.NoError(t, err, "other tools know it as a KV bucket")
	require.Equal(t, "ns-tests", kv.Bucket())
}

func TestABucketThatMayNotBeMade(t *testing.T) {
	t.Parallel()
	f := startJetStream(t)
	b := f.bucket(bucket.Settings{NoCreate: true})
	_, err := b.Open(t.Context())
	require.ErrorIs(t, err, errAbsent)
	_, err = b.Read(t.Context(), "k")
	require.ErrorIs(t, err, errAbsent)
	created, err := f.bucket(bucket.Settings{}).Open(t.Context())
	require.NoError(t, err)
	again, err := b.Open(t.Context())
	require.NoError(t, err)
	require.Equal(t, created, again, "it is found once somebody else has made it")
}

func TestABucketThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	f := startJetStream(t)
	_, err := f.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KV_ns-tests", Subjects: []string{"other"}})
	require.NoError(t, err)
	_, err = f.bucket(bucket.Settings{}).Open(t.Context())
	require.ErrorIs(t, err, errCheck)
}

func TestCompareAndSet(t *testing.T) {
	t.Parallel()
	f := startJetStream(t)
	b := f.bucket(bucket.Settings{})
	ctx := t.Context()
	read := func() bucket.Entry {
		t.Helper()
		e, err := b.Read(ctx, "a.b")
		require.NoError(t, err)
		return e
	}
	require.Equal(t, bucket.Entry{Absent: true}, read())
	first, err := b.Write(ctx, "a.b", []byte("1"), 0)
	require.NoError(t, err)
	require.Equal(t, bucket.Entry{Revision: first, Data: []byte("1")}, read())
	for _, over := range []uint64{0, first + 5} {
		_, err = b.Write(ctx, "a.b", []byte("2"), over)
		require.True(t, bucket.LostRace(err), "%v", err)
		require.False(t, bucket.Gone(err))
		err = b.Delete(ctx, "a.b", over)
		require.True(t, bucket.LostRace(err), "%v", err)
	}
	second, err := b.Write(ctx, "a.b", []byte("2"), first)
	require.NoError(t, err)
	require.Greater(t, second, first)
	_, err = b.Write(ctx, "other", nil, 0)
	require.NoError(t, err, "each key has revisions of its own")
	require.NoError(t, b.Delete(ctx, "a.b", second))
	deleted := read()
	require.True(t, deleted.Absent)
	require.Greater(t, deleted.Revision, second)
	_, err = b.Write(ctx, "a.b", []byte("3"), deleted.Revision)
	require.NoError(t, err)
}

func TestABucketThatIsDeletedAndMadeAnew(t *testing.T) {
	t.Parallel()
	f := startJetStream(t)
	b := f.bucket(bucket.Settings{})
	ctx := t.Context()
	old, err := b.Open(ctx)
	require.NoError(t, err)
	f.deleteStream()
	same, err := b.Open(ctx)
	require.NoError(t, err)
	require.Equal(t, old, same, "what was found is not looked for again")
	_, err = b.Write(ctx, "k", []byte("1"), 0)
	require.True(t, bucket.Gone(err), "%v", err)
	require.False(t, bucket.LostRace(err))

	fresh, err := b.Open(ctx)
	require.NoError(t, err)
	require.True(t, fresh.After(old), "the write has found that the bucket is gone")
	now, err := b.Created(ctx)
	require.NoError(t, err)
	require.Equal(t, fresh, now)
	f.deleteStream()
	_, err = b.Created(ctx)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}

func TestConsumers(t *testing.T) {
	t.Parallel()
	f := startJetStream(t)
	b := f.bucket(bucket.Settings{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := b.Open(ctx)
	require.NoError(t, err)
	_, err = b.Write(ctx, "a.1", []byte("x"), 0)
	require.NoError(t, err)

	inbox := f.nc.NewInbox()
	sub, err := f.nc.SubscribeSync(inbox)
	require.NoError(t, err)
	consumer, created, err := b.PushConsumer(ctx, &jetstream.ConsumerConfig{
		DeliverSubject: inbox, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubject: b.Prefix() + "a.*", AckPolicy: jetstream.AckNonePolicy,
	})
	require.NoError(t, err)
	now, err := b.Created(ctx)
	require.NoError(t, err)
	require.Equal(t, now, created)
	require.EqualValues(t, 1, consumer.CachedInfo().NumPending+consumer.CachedInfo().Delivered.Consumer)
	msg, err := sub.NextMsgWithContext(ctx)
	require.NoError(t, err)
	require.Equal(t, "$KV.ns-tests.a.1", msg.Subject)

	ordered, err := b.OrderedConsumer(ctx, &jetstream.OrderedConsumerConfig{FilterSubjects: []string{b.Prefix() + "a.*"}})
	require.NoError(t, err)
	next, err := ordered.Next(jetstream.FetchMaxWait(10 * time.Second))
	require.NoError(t, err)
	require.Equal(t, "x", string(next.Data()))
}

func TestWithoutJetStream(t *testing.T) {
	t.Parallel()
	f := start(t, embednats.Options{})
	_, err := f.bucket(bucket.Settings{}).Open(t.Context())
	require.ErrorContains(t, err, ": tests need JetStream; enable it on the NATS servers")
}

func TestWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	f := startJetStream(t)
	b := f.bucket(bucket.Settings{})
	require.ErrorContains(t, b.Explain(context.DeadlineExceeded), "deadline exceeded: nobody answered")
}

func TestUsersThatMayNotUseABucket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`authorization {users: [{user: u, password: pw, permissions: {publish: {deny: [
		"$JS.API.STREAM.MSG.GET.>", "$JS.API.CONSUMER.CREATE.>", "$KV.ns-tests.denied"]}}}]}`), 0o600))
	f := start(t, embednats.Options{StoreDir: dir, Config: path}, nats.UserInfo("u", "pw"))
	b := f.bucket(bucket.Settings{})
	ctx := t.Context()
	_, err := b.Open(ctx)
	require.NoError(t, err)
	_, err = b.Read(ctx, "k")
	require.ErrorIs(t, err, stores.ErrPermission)
	_, err = b.Write(ctx, "denied", nil, 0)
	require.ErrorIs(t, err, stores.ErrPermission)
	_, err = b.OrderedConsumer(ctx, &jetstream.OrderedConsumerConfig{})
	require.ErrorIs(t, err, stores.ErrPermission)
	_, _, err = b.PushConsumer(ctx, &jetstream.ConsumerConfig{DeliverSubject: f.nc.NewInbox()})
	require.ErrorIs(t, err, stores.ErrPermission)
	_, err = b.Write(ctx, "k", []byte("1"), 0)
	require.NoError(t, err)
}
