package aegis_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// arranger notes in which order commands are worked, and by whom.
type arranger struct {
	aegistestv1aegis.UnimplementedLeaderJobServiceServer

	name string
	log  *arrangements
}

type arrangements struct {
	mu      sync.Mutex
	numbers []int64
	terms   []uint64
	by      []string
	busy    bool
	wrong   []string
	hook    func(context.Context, int64) error
}

func (arranger) OnLeading(context.Context, aegis.Term) error { return nil }

func (a arranger) Arrange(ctx context.Context, req *testv1.ArrangeRequest) (*testv1.ArrangeResponse, error) {
	term, ok := aegis.TermFromContext(ctx)
	l := a.log
	l.mu.Lock()
	if !ok {
		l.wrong = append(l.wrong, "no term")
	}
	if l.busy {
		l.wrong = append(l.wrong, "two at once")
	}
	l.busy = true
	l.mu.Unlock()
	var err error
	if l.hook != nil {
		err = l.hook(ctx, req.GetNumber())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
	if err != nil {
		return nil, err
	}
	l.numbers, l.terms, l.by = append(l.numbers, req.GetNumber()), append(l.terms, term.Token), append(l.by, a.name)
	return &testv1.ArrangeResponse{Number: req.GetNumber(), Term: term.Token}, nil
}

func (a arranger) Tidy(ctx context.Context, _ *testv1.TidyRequest) (*testv1.TidyResponse, error) {
	_, err := a.Arrange(ctx, &testv1.ArrangeRequest{Number: -1})
	return &testv1.TidyResponse{}, err
}

func startArranger(t testing.TB, conn *aegis.Conn, name string, log *arrangements, opts ...aegis.ServerOption) running {
	t.Helper()
	srv, err := aegis.NewServer(conn, append(opts, aegis.WithInstance(name))...)
	require.NoError(t, err)
	require.NoError(t, aegistestv1aegis.RegisterLeaderJobServiceServer(srv, arranger{name: name, log: log}, steady()))
	return runServer(t, srv)
}

func TestOnlyTheLeaderWorksSingleActiveCommandsInOrder(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	failed := false
	log := &arrangements{hook: func(_ context.Context, n int64) error {
		if n == 7 && !failed {
			failed = true
			return errWrong // and what comes after it waits
		}
		return nil
	}}
	leader, other := startArranger(t, conn, "a", log), startArranger(t, conn, "b", log)
	client, err := aegistestv1aegis.NewLeaderJobServiceClient(conn)
	require.NoError(t, err)
	tidy, err := client.Tidy(t.Context(), &testv1.TidyRequest{})
	require.NoError(t, err)
	_, err = tidy.Result(t.Context())
	require.NoError(t, err)
	var sent []*aegis.Command[testv1.ArrangeResponse]
	sendUpTo := func(n int64) {
		for i := int64(len(sent)) + 1; i <= n; i++ {
			cmd, err := client.Arrange(t.Context(), &testv1.ArrangeRequest{Number: i})
			require.NoError(t, err)
			sent = append(sent, cmd)
		}
	}
	sendUpTo(20)
	for i, cmd := range sent {
		res, err := cmd.Result(t.Context())
		require.NoError(t, err)
		require.Equal(t, int64(i+1), res.GetNumber())
		require.NotZero(t, res.GetTerm())
	}
	// The other one goes on with a greater token. The leader of now may be another one than
	// at first, on a busy machine.
	eventually(t, "one leads", func() bool {
		if leads(other.Server) {
			leader, other = other, leader
		}
		return leads(leader.Server)
	})
	go sendUpTo(40)
	leader.end(t)
	eventually(t, "the rest is worked", func() bool {
		log.mu.Lock()
		defer log.mu.Unlock()
		return len(log.numbers) >= 41
	})
	log.mu.Lock()
	defer log.mu.Unlock()
	require.Empty(t, log.wrong)
	for i := range 40 {
		require.Equal(t, int64(i+1), log.numbers[i+1])
		require.GreaterOrEqual(t, log.terms[i+1], log.terms[i])
	}
	require.Equal(t, other.Instance(), log.by[40])
	require.Greater(t, log.terms[40], log.terms[20])
}

func TestStopOfALeaderFinishesItsCommand(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	started, release := make(chan struct{}, 1), make(chan struct{})
	log := &arrangements{hook: func(context.Context, int64) error {
		started <- struct{}{}
		<-release
		return nil
	}}
	leader := startArranger(t, conn, "a", log)
	client, err := aegistestv1aegis.NewLeaderJobServiceClient(conn)
	require.NoError(t, err)
	cmd, err := client.Arrange(t.Context(), &testv1.ArrangeRequest{Number: 1})
	require.NoError(t, err)
	receive(t, "it runs", started)
	leader.stop()
	eventually(t, "it stops", func() bool { return leader.State() == aegis.StateStopping })
	pending(t, "Run returns", leader.done)
	close(release)
	require.NoError(t, receive(t, "it stops", leader.done))
	res, err := cmd.Result(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), res.GetNumber())
}

// A leader that loses its lease while it works leaves the command to the next
// one, whatever its handler returns.
func TestCommandOfALostTermIsWorkedAgain(t *testing.T) {
	t.Parallel()
	restarted := restartJetStream(t)
	conn, client := connectTo(t, restarted.url), connectTo(t, restarted.url)
	started := make(chan uint64, 10)
	ended := make(chan error, 1)
	log := &arrangements{hook: func(ctx context.Context, _ int64) error {
		term, _ := aegis.TermFromContext(ctx)
		started <- term.Token
		if len(ended) == 0 && len(started) > 0 {
			select {
			case <-ctx.Done():
				ended <- ctx.Err()
			case <-time.After(patience):
			}
		}
		return nil
	}}
	startArranger(t, conn, "a", log)
	c, err := aegistestv1aegis.NewLeaderJobServiceClient(client)
	require.NoError(t, err)
	cmd, err := c.Arrange(t.Context(), &testv1.ArrangeRequest{Number: 1})
	require.NoError(t, err)
	eventually(t, "it runs", func() bool { return len(started) == 1 })
	restarted.down(conn, client)
	require.ErrorIs(t, receive(t, "its context ends with the term", ended), context.Canceled)
	ended <- nil // the next one just returns
	restarted.up()
	first := <-started
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	res, err := cmd.Result(ctx)
	require.NoError(t, err)
	require.Greater(t, res.GetTerm(), first, "the result is that of the later term")
}
