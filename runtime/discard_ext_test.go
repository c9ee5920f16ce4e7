package aegis_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	aegis "github.com/aegisrpc/aegis/runtime"
)

func TestDiscardingADeadLetterThatIsGoneIsNoError(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	worker(t, another(t, conn), jobs{work: new(fallible).work})
	_, err := outcome(t.Context(), send(t, newJobClient(t, conn), "x"))
	require.ErrorContains(t, err, errWrong.Error())
	d := deadOf(t, conn, jobService)
	js := jetStream(t, conn)
	stream, err := js.Stream(t.Context(), deadStream)
	require.NoError(t, err)

	later := *d
	later.Sequence += 100 // as one that came after what a restored stream holds
	require.NoError(t, conn.DiscardDeadLetter(t.Context(), &later))

	config := stream.CachedInfo().Config
	config.DenyDelete = true
	_, err = js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
	require.NoError(t, conn.DiscardDeadLetter(t.Context(), &later))
	err = conn.DiscardDeadLetter(t.Context(), d)
	require.ErrorContains(t, err, "cannot be deleted")
	require.ErrorContains(t, err, "message delete not permitted")
	require.NotEqual(t, aegis.CodeNotFound, aegis.CodeOf(err))
	require.Len(t, deadLetters(t, conn, jobService), 1)
}

func TestDiscardingADeadLetterTwiceIsNoError(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	worker(t, another(t, conn), jobs{work: new(fallible).work})
	_, err := outcome(t.Context(), send(t, newJobClient(t, conn), "x"))
	require.ErrorContains(t, err, errWrong.Error())
	d := deadOf(t, conn, jobService)
	for range 2 {
		require.NoError(t, conn.DiscardDeadLetter(t.Context(), d))
		require.Empty(t, deadLetters(t, conn, jobService))
	}
	stream, err := jetStream(t, conn).Stream(t.Context(), deadStream)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(t.Context()))
	require.NoError(t, conn.DiscardDeadLetter(t.Context(), d))
}
