package stores

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
)

func testLayout() (Layout, *spec.Service) {
	return Layout{Namespace: "n", Subjects: wire.NewSubjects("n")}, &spec.Service{
		Name:           "a.v1.S",
		EventStorage:   &spec.Storage{MaxAge: time.Hour, DedupeWindow: 2 * time.Minute},
		CommandStorage: &spec.Storage{DedupeWindow: 2 * time.Minute},
	}
}

func TestSettingsOfTheProgramWinOverTheProto(t *testing.T) {
	t.Parallel()
	layout, service := testLayout()
	want := layout.Events(service, &Settings{})
	require.Equal(t, time.Hour, want.MaxAge)
	require.Equal(t, 1, want.Replicas)
	require.False(t, want.ReplicasAsked)
	require.EqualValues(t, -1, want.MaxBytes)

	want = layout.Events(service, &Settings{MaxAge: time.Minute, MaxBytes: 7, Replicas: 3})
	require.Equal(t, time.Minute, want.MaxAge)
	require.Equal(t, time.Minute, want.Duplicates, "an id is not remembered longer than its event is kept")
	require.EqualValues(t, 7, want.MaxBytes)
	require.Equal(t, 3, want.Replicas)
	require.True(t, want.ReplicasAsked)
}

func TestQueueWithASizeRefusesAndTakesNoSchedules(t *testing.T) {
	t.Parallel()
	layout, service := testLayout()
	want := layout.Commands(service, &Settings{})
	require.Equal(t, jetstream.DiscardOld, want.Discard)
	require.True(t, want.AllowMsgSchedules)
	want = layout.Commands(service, &Settings{MaxBytes: 1 << 20})
	require.Equal(t, jetstream.DiscardNew, want.Discard)
	require.False(t, want.AllowMsgSchedules)
}

// In an account that requires sizes a result has the size of its queue, if that has one.
func TestSpareSizes(t *testing.T) {
	t.Parallel()
	layout, service := testLayout()
	require.EqualValues(t, spareBytes, layout.Results(service, &Settings{}).SpareBytes)
	want := layout.Results(service, &Settings{MaxBytes: 5, ResultsMaxBytes: 9})
	require.EqualValues(t, 5, want.SpareBytes)
	require.EqualValues(t, 9, want.MaxBytes)
	want = layout.DeadLetters(service.Name, &Settings{MaxBytes: 5}, service.EventStorage)
	require.EqualValues(t, 5, want.SpareBytes)
	require.EqualValues(t, -1, want.MaxBytes)
}
