package aegis_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
)

const (
	jobStream        = "aegis-commands-aegistest-v1-JobService"
	descriptorBucket = "aegis-descriptors"
	descriptorsKey   = "aegis.descriptors"
)

// storedHash returns the hash in the metadata of a stream; "" if there is none, or no stream.
func storedHash(t testing.TB, js jetstream.JetStream, stream string) string {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return ""
	}
	require.NoError(t, err)
	return s.CachedInfo().Config.Metadata[descriptorsKey]
}

// storedDescriptors waits until a stream names its descriptors, and reads them.
func storedDescriptors(t testing.TB, js jetstream.JetStream, stream string) *descset.Set {
	t.Helper()
	eventually(t, stream+" names its descriptors", func() bool { return storedHash(t, js, stream) != "" })
	bucket, err := js.KeyValue(t.Context(), descriptorBucket)
	require.NoError(t, err)
	entry, err := bucket.Get(t.Context(), storedHash(t, js, stream))
	require.NoError(t, err)
	set, err := descset.Decode(entry.Value(), entry.Key())
	require.NoError(t, err)
	return set
}

// What is stored can be read when nobody is left who knows what it is.
func TestStoredDescriptorsOutliveTheInstances(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	service := another(t, conn)
	events := subscriber(t, service, handlers{Stored: func(context.Context, *testv1.StoredRequest) error { return aegis.Permanent(errWrong) }},
		nil, aegis.Compete("g"))
	work := stoppableWorker(t, service, jobs{})
	mustStore(t, newPublisher(t, service), "x")
	eventually(t, "there is a dead letter", func() bool { return len(deadLetters(t, conn, eventName)) == 1 })
	for _, stream := range []string{eventStream, "aegis-dead-aegistest-v1-EventService", jobStream} {
		storedDescriptors(t, js, stream)
	}
	events.end(t)
	work.end(t)
	require.NoError(t, service.Close(t.Context()))

	set := storedDescriptors(t, js, "aegis-dead-aegistest-v1-EventService")
	letter := deadLetters(t, conn, eventName)[0]
	read, err := set.Service(eventName)
	require.NoError(t, err)
	method := read.Methods().ByName("Stored")
	require.NotEmpty(t, read.ParentFile().SourceLocations().ByDescriptor(method).LeadingComments)
	message := dynamicpb.NewMessage(method.Input())
	require.NoError(t, proto.Unmarshal(letter.Data, message))
	require.Equal(t, "x", message.Get(method.Input().Fields().ByName("text")).String())
	_, err = storedDescriptors(t, js, jobStream).Service(jobService)
	require.NoError(t, err)
}

// A publisher and a sender alone keep the same descriptors as those who serve.
func TestPublishersAndSendersKeepDescriptors(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	mustStore(t, newPublisher(t, conn), "x")
	send(t, newJobClient(t, conn), "x")
	events, commands := storedDescriptors(t, js, eventStream), storedDescriptors(t, js, jobStream)

	servers := another(t, conn)
	subscribe(t, servers, handlers{Stored: new(diary).stored}, nil, aegis.Compete("g"))
	worker(t, servers, jobs{})
	require.Equal(t, events.Hash(), mustFetch(t, conn.NATS(), eventName, "any").Hash())
	require.Equal(t, commands.Hash(), mustFetch(t, conn.NATS(), jobService, "any").Hash())
}

func TestNewestOpenerNamesTheDescriptors(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	mustStore(t, newPublisher(t, conn), "x")
	older := storedDescriptors(t, js, eventStream)
	partitions := partitionsOf(t, js)
	require.NotEmpty(t, partitions)

	service := aegis.Documented(testv1.File_aegistest_v1_events_proto.Services().ByName("EventService"), []aegis.Comment{{Name: "EventService", Text: "Newer."}})
	pub, err := aegis.NewPublisher(another(t, conn), service)
	require.NoError(t, err)
	_, err = aegis.NewDurableEvent[testv1.StoredRequest](pub, "Stored").Publish(t.Context(), stored("y"))
	require.NoError(t, err)
	eventually(t, "it names the newer ones", func() bool { return storedHash(t, js, eventStream) != older.Hash() })
	newer := storedDescriptors(t, js, eventStream)
	require.NotEqual(t, older.Hash(), newer.Hash())
	require.Equal(t, partitions, partitionsOf(t, js), "all else stays")
	bucket, err := js.KeyValue(t.Context(), descriptorBucket)
	require.NoError(t, err)
	keys, err := bucket.Keys(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []string{older.Hash(), newer.Hash()}, keys)
}

// partitionsOf returns the metadata of the stream of events that are not the descriptors.
func partitionsOf(t *testing.T, js jetstream.JetStream) map[string]string {
	t.Helper()
	s, err := js.Stream(t.Context(), eventStream)
	require.NoError(t, err)
	metadata := s.CachedInfo().Config.Metadata
	delete(metadata, descriptorsKey)
	return metadata
}

func TestStreamThatIsMadeAnewNamesItsDescriptorsAgain(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	pub := newPublisher(t, conn)
	mustStore(t, pub, "x")
	set := storedDescriptors(t, js, eventStream)
	require.NoError(t, js.DeleteStream(t.Context(), eventStream))
	mustStore(t, pub, "y")
	require.Equal(t, set.Hash(), storedDescriptors(t, js, eventStream).Hash())
}

// debugLog is the option of a logger that has all levels.
func debugLog(l *logs) aegis.LoggerOption {
	return aegis.WithLogger(slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

const notKept = "the descriptors are not kept"

// Where the descriptors cannot be kept, all else works, and the log says so once.
func TestDescriptorsThatCannotBeKeptHarmNothing(t *testing.T) {
	t.Parallel()
	t.Run("NoCreate", func(t *testing.T) {
		t.Parallel()
		conn := connect(t)
		js := jetStream(t, conn)
		makeEventStream(t, js)
		var log logs
		pub := newPublisher(t, another(t, conn, debugLog(&log)), aegis.WithStorage(aegis.Storage{NoCreate: true}))
		mustStore(t, pub, "x")
		eventually(t, "it is told", func() bool { return log.count(notKept) == 1 })
		require.Contains(t, log.String(), "level=DEBUG")
		require.Empty(t, storedHash(t, js, eventStream))
		require.NotContains(t, streamNames(t, js), "KV_"+descriptorBucket)
	})
	t.Run("no permission", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "nats.conf")
		require.NoError(t, os.WriteFile(path, []byte(strings.Replace(eventPermissions, "UNRECORDED", "", 1)), 0o600))
		n := aegistest.StartNATSWithConfig(t, path)
		urlOf := func(user string) string { return strings.Replace(n.URL(), "://", "://"+user+":pw@", 1) }
		js := jetStream(t, connectTo(t, urlOf("all")))
		makeEventStream(t, js)
		var log logs
		conn := connectTo(t, urlOf("publisher"), debugLog(&log))
		mustStore(t, newPublisher(t, conn), "x")
		eventually(t, "it is told", func() bool { return log.count(notKept) == 1 })
		mustStore(t, newPublisher(t, conn), "y")
		for line := range slices.Values(log.complaints()) {
			require.Contains(t, line, "level=DEBUG", "nobody has done anything wrong")
		}
		require.Empty(t, storedHash(t, js, eventStream))
	})
	t.Run("few streams", func(t *testing.T) {
		t.Parallel()
		var log logs
		conn := limitedAccount(t, "max_streams: 8", "").Connect(t, debugLog(&log))
		worker(t, conn, jobs{})
		eventually(t, "it is told", func() bool { return log.count(notKept) == 1 })
		require.Contains(t, log.String(), "8 are left to services")
		require.NotContains(t, streamNames(t, jetStream(t, conn)), "KV_"+descriptorBucket)
	})
	t.Run("a size is required", func(t *testing.T) {
		t.Parallel()
		conn := limitedAccount(t, sized, "").Connect(t, silent())
		mustStore(t, newPublisher(t, conn, aegis.WithStorage(aegis.Storage{MaxBytes: 1 << 20})), "x")
		storedDescriptors(t, jetStream(t, conn), eventStream)
	})
}

func TestDocumentedPermissionsForStoredDescriptorsAreEnough(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`
authorization {
  users = [
    {user: publisher, password: pw, permissions: {
      publish: ["aegis.log.aegistest.v1.EventService.>", "$JS.API.STREAM.INFO.aegis-events-aegistest-v1-EventService",
                "$JS.API.STREAM.CREATE.aegis-events-aegistest-v1-EventService", "aegis.*._void.*",
                "$JS.API.STREAM.UPDATE.aegis-events-aegistest-v1-EventService", "$JS.API.STREAM.INFO.KV_aegis-descriptors",
                "$KV.aegis-descriptors.*", "$JS.API.STREAM.CREATE.KV_aegis-descriptors", "$JS.API.INFO"]
      subscribe: ["_INBOX.>"]
    }}
    {user: reader, password: pw, permissions: {
      publish: ["$JS.API.STREAM.INFO.aegis-events-aegistest-v1-EventService", "$JS.API.STREAM.INFO.KV_aegis-descriptors",
                "$JS.API.STREAM.MSG.GET.KV_aegis-descriptors"]
      subscribe: ["_INBOX.>"]
    }}
  ]
}
`), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	urlOf := func(user string) string { return strings.Replace(n.URL(), "://", "://"+user+":pw@", 1) }
	var log logs
	publisher := connectTo(t, urlOf("publisher"), log.option())
	mustStore(t, newPublisher(t, publisher), "x")
	reader := connectTo(t, urlOf("reader"))
	js := jetStream(t, reader)
	eventually(t, "the stream names its descriptors", func() bool { return storedHash(t, js, eventStream) != "" })
	require.Empty(t, log.complaints())
	hash := storedHash(t, js, eventStream)
	bucket, err := js.Stream(t.Context(), "KV_"+descriptorBucket)
	require.NoError(t, err)
	entry, err := bucket.GetLastMsgForSubject(t.Context(), "$KV."+descriptorBucket+"."+hash)
	require.NoError(t, err)
	_, err = descset.Decode(entry.Data, hash)
	require.NoError(t, err)
}

// makeEventStream makes the stream of events by hand.
func makeEventStream(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: eventStream, Subjects: []string{"aegis.log." + eventName + ".>"}, Discard: jetstream.DiscardNew, AllowDirect: true,
		MaxAge: time.Hour, Duplicates: time.Minute,
		Metadata: map[string]string{"aegis.partitions.Keyed": "4"},
	})
	require.NoError(t, err)
}

func streamNames(t *testing.T, js jetstream.JetStream) (names []string) {
	t.Helper()
	list := js.StreamNames(t.Context())
	for name := range list.Name() {
		names = append(names, name)
	}
	require.NoError(t, list.Err())
	return names
}

// A client of commands that no descriptors were made for is no reason for a warning.
func TestHandlesOfCommandsKeepNoDescriptors(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	worker(t, conn, jobs{})
	cmd := send(t, newJobClient(t, conn), "x")
	var log logs
	handle := aegistestv1aegis.JobServiceWorkCommand(another(t, conn, log.option()), cmd.ID())
	require.Equal(t, "x", mustResult(t, handle))
	require.Empty(t, log.complaints())
}
