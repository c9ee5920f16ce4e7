package aegisreflect_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
)

func TestDescriptorsAreFetchedInPartsAndOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	set := encoded(t, probeDescriptor(), descset.Comment{Name: "ProbeService.Do", Text: "Do does.\n  Indented."})
	l := &liar{data: set.Encoded(), slice: 1000}
	lie(t, conn, probeService, l)
	r := aegisreflect.New(conn)
	first, err := r.Service(within(t), probeService)
	require.NoError(t, err)
	require.Equal(t, set.Hash(), first.Hash())
	require.Equal(t, "1.2.3", first.Version())
	parts := (len(set.Encoded()) + 999) / 1000
	require.Len(t, l.requests(), parts)
	require.Equal(t, "any 0", l.requests()[0])
	require.Equal(t, "hash 1000", l.requests()[1])

	do, err := first.Method("Do")
	require.NoError(t, err)
	require.Equal(t, "Do does.\n  Indented.", aegisreflect.Comment(do.Descriptor()))
	require.Empty(t, aegisreflect.Comment(first.Descriptor()))

	again, err := r.Service(within(t), probeService)
	require.NoError(t, err)
	require.Same(t, first, again)
	require.Len(t, l.requests(), parts+1, "one request tells that nothing has changed")
}

func TestNewDescriptorsArePickedUp(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	old := encoded(t, probeDescriptor(), descset.Comment{Name: "ProbeService", Text: strings.Repeat("long ", 300)})
	recent := encoded(t, probeDescriptor())
	require.Less(t, len(recent.Encoded()), len(old.Encoded()), "so that the last byte is out of its range")
	l := &liar{data: old.Encoded()}
	lie(t, conn, probeService, l)
	r := aegisreflect.New(conn)
	before, err := r.Service(within(t), probeService)
	require.NoError(t, err)
	l.change(func() { l.data = recent.Encoded() })
	after, err := r.Service(within(t), probeService)
	require.NoError(t, err)
	require.Equal(t, old.Hash(), before.Hash())
	require.Equal(t, recent.Hash(), after.Hash())
	l.change(func() { l.data = old.Encoded() })
	back, err := r.Service(within(t), probeService)
	require.NoError(t, err)
	require.Same(t, before, back)

	l.change(func() { l.asked = nil })
	same, err := r.ServiceByHash(within(t), probeService, recent.Hash())
	require.NoError(t, err)
	require.Same(t, after, same)
	require.Empty(t, l.requests(), "what is known by its hash is not asked for")
	_, err = r.ServiceByHash(within(t), probeService, "abc")
	require.ErrorContains(t, err, "is no hash")
}

// Each lie is an error that names the service, and never a panic or a wait.
func TestDescriptorsThatLieAreRefused(t *testing.T) {
	t.Parallel()
	set := encoded(t, probeDescriptor())
	other := encoded(t, orderDescriptor())
	empty, err := proto.Marshal(&descriptorpb.FileDescriptorSet{})
	require.NoError(t, err)
	answer := func(hash, size string, data []byte) func(int) *nats.Msg {
		return func(int) *nats.Msg {
			return &nats.Msg{Data: data, Header: nats.Header{wire.HeaderDescriptors: {hash}, wire.HeaderDescriptorsSize: {size}}}
		}
	}
	for name, l := range map[string]*liar{
		"another hash":           {data: set.Encoded(), hash: other.Hash()},
		"no hash":                {data: set.Encoded(), hash: "xyz"},
		"no size":                {data: set.Encoded(), size: "many"},
		"negative size":          {data: set.Encoded(), size: "-1"},
		"size of a universe":     {data: set.Encoded(), size: "99999999999"},
		"less than it says":      {data: set.Encoded(), size: "1000000"},
		"more than it says":      {data: set.Encoded(), size: "10"},
		"another service":        {data: other.Encoded()},
		"no gzip":                {data: empty, hash: strings.Repeat("0", 32), size: "7"},
		"no headers":             {answer: func(int) *nats.Msg { return &nats.Msg{Data: []byte("hello")} }},
		"nothing but promises":   {answer: answer(set.Hash(), "1000", nil)},
		"the same part for ever": {answer: answer(set.Hash(), "100000", []byte("part"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			lie(t, conn, probeService, l)
			_, err := aegisreflect.New(conn).Service(within(t), probeService)
			require.ErrorIs(t, err, aegisreflect.ErrInvalidDescriptors)
			require.ErrorContains(t, err, probeService)
			require.Equal(t, aegis.CodeDataLoss, aegis.CodeOf(err))
		})
	}
}

// Options that this version does not know, or that contradict each other, are no options to
// guess about.
func TestDescriptorsWithOptionsThatAreWrongAreRefused(t *testing.T) {
	t.Parallel()
	file := protodesc.ToFileDescriptorProto(probeDescriptor().ParentFile())
	opts := &aegisv1.ServiceOptions{Version: "one"}
	opts.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
	file.Service[0].Options = &descriptorpb.ServiceOptions{}
	proto.SetExtension(file.Service[0].Options, aegisv1.E_Service, opts)
	plain, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: append(imports(t, probeDescriptor().ParentFile()), file)})
	require.NoError(t, err)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(plain)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	conn := connect(t)
	lie(t, conn, probeService, &liar{data: packed.Bytes()})
	_, err = aegisreflect.New(conn).Service(within(t), probeService)
	require.ErrorIs(t, err, aegisreflect.ErrInvalidDescriptors)
	require.ErrorContains(t, err, `"one" is not a semantic version`)
	require.ErrorContains(t, err, "does not know all of its fields")
}

func TestErrorOfAServerIsPassedOn(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	lie(t, conn, probeService, &liar{answer: func(int) *nats.Msg {
		return &nats.Msg{Header: nats.Header{wire.HeaderServiceErrorCode: {"8"}, wire.HeaderServiceError: {"too busy"}}}
	}})
	_, err := aegisreflect.New(conn).Service(within(t), probeService)
	require.Equal(t, aegis.CodeResourceExhausted, aegis.CodeOf(err))
	require.ErrorContains(t, err, "too busy")
}

// A program that subscribes to everything hides that nobody listens, and a server may hang.
func TestServerThatDoesNotAnswerIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	lie(t, conn, probeService, &liar{answer: func(int) *nats.Msg { return nil }})
	_, err := aegisreflect.New(conn).Service(within(t), probeService)
	require.ErrorIs(t, err, aegisreflect.ErrUnknownService)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = aegisreflect.New(conn).Service(ctx, probeService)
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestUnknownServicesHaveNearNames(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveProbe(t, conn)
	r := aegisreflect.New(another(t, conn))
	for _, name := range []string{"aegistest.v1.ProbeServce", "ProbeService", "probeservice", "aegistest.v2.ProbeService", "Probe"} {
		_, err := r.Service(within(t), name)
		require.ErrorIs(t, err, aegisreflect.ErrUnknownService, name)
		require.ErrorContains(t, err, "did you mean aegistest.v1.ProbeService?", name)
		require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
	}
	_, err := r.Service(within(t), "quite.Different")
	require.ErrorContains(t, err, "the services with instances are aegistest.v1.ProbeService")
	_, err = r.Service(within(t), "a b")
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
	_, err = r.ServiceByHash(within(t), "a/b", strings.Repeat("0", 32))
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
	_, err = r.ServiceByHash(within(t), "a.B", strings.Repeat("0", 32))
	require.ErrorIs(t, err, aegisreflect.ErrUnknownService)
	_, err = aegisreflect.New(nil).Service(within(t), "a.B")
	require.ErrorContains(t, err, "is nil")
}

func TestDescriptorsOfTheProgramComeFirst(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveProbe(t, conn)
	r := aegisreflect.New(conn)
	r.Use(protoregistry.GlobalFiles)
	m := find(t, r, probeService, "Do")
	require.Empty(t, m.Service().Hash())
	res, err := m.Call(within(t), request(t, m, `{"text": "x"}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"text":"x"}`, text(t, m, res))

	set := protodesc.ToFileDescriptorProto(probeDescriptor().ParentFile())
	set.Service[0].Method = set.GetService()[0].GetMethod()[:1]
	files, err := protodesc.NewFiles(&descriptorpb.FileDescriptorSet{File: append(imports(t, probeDescriptor().ParentFile()), set)})
	require.NoError(t, err)
	r.Use(files)
	s, err := r.Service(within(t), probeService)
	require.NoError(t, err)
	require.Len(t, s.Methods(), 1, "the later descriptors count")
	require.Len(t, m.Service().Methods(), 3, "a service that was returned stays as it is")
}

func TestMethodsAreFoundByBothNames(t *testing.T) {
	t.Parallel()
	r := aegisreflect.New(connect(t))
	r.Use(protoregistry.GlobalFiles)
	s, err := r.Service(within(t), probeService)
	require.NoError(t, err)
	short, err := s.Method("Get")
	require.NoError(t, err)
	full, err := s.Method("aegistest.v1.ProbeService.Get")
	require.NoError(t, err)
	require.Same(t, short, full)
	require.Equal(t, "aegistest.v1.ProbeService.Get", full.FullName())
	_, err = s.Method("get")
	require.ErrorIs(t, err, aegisreflect.ErrUnknownMethod)
	require.ErrorContains(t, err, `no method "get"; did you mean Get?`)
	_, err = s.Method("Missing")
	require.ErrorContains(t, err, "the methods are Do, Get, Quick")
	require.Equal(t, "1.2.3", s.Options().GetVersion())
	require.Equal(t, uint32(4), short.Options().GetRetry().GetMaxAttempts())
	require.Equal(t, 5*time.Second, short.Timeout())
}

// keep puts descriptors where servers keep them with stored data.
func keep(t testing.TB, conn *aegis.Conn, stream, hash string, data []byte) {
	t.Helper()
	ctx := within(t)
	kv, err := conn.JetStream().CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: wire.DescriptorsBucket(conn.Namespace())})
	require.NoError(t, err)
	_, err = kv.Put(ctx, hash, data)
	require.NoError(t, err)
	s, err := conn.JetStream().Stream(ctx, stream)
	require.NoError(t, err)
	config := s.CachedInfo().Config
	if config.Metadata == nil {
		config.Metadata = map[string]string{}
	}
	config.Metadata[wire.DescriptorsKey] = hash
	_, err = conn.JetStream().UpdateStream(ctx, config)
	require.NoError(t, err)
}

func TestStoredDescriptorsThatLieAreRefused(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pub, err := aegistestv1aegis.NewEventServicePublisher(conn)
	require.NoError(t, err)
	_, err = pub.Stored(within(t), storedEvent("x"))
	require.NoError(t, err)
	stream := wire.EventStream(conn.Namespace(), eventService)
	set := encoded(t, probeDescriptor())
	r := aegisreflect.New(conn)

	keep(t, conn, stream, set.Hash(), set.Encoded())
	_, err = r.Service(within(t), eventService)
	require.ErrorIs(t, err, aegisreflect.ErrInvalidDescriptors)
	require.ErrorContains(t, err, "do not have the service")

	wrong := hex.EncodeToString(make([]byte, 16))
	keep(t, conn, stream, wrong, set.Encoded())
	_, err = r.Service(within(t), eventService)
	require.ErrorIs(t, err, aegisreflect.ErrInvalidDescriptors)

	keep(t, conn, stream, "no/hash", nil)
	_, err = r.Service(within(t), eventService)
	require.ErrorIs(t, err, aegisreflect.ErrUnknownService)
}
