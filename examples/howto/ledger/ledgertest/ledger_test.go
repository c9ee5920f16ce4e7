package ledgertest

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the database of the test

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	"github.com/aegisrpc/aegis/examples/howto/ledger"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// patience is how long a test waits for what has to come.
const patience = 30 * time.Second

// newDB returns a database in a file, which several ledgers share.
func newDB(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "ledger.db")+"?_txlock=immediate&_pragma=busy_timeout(30000)")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), ledger.Schema)
	require.NoError(t, err)
	return db
}

func newPublisher(t *testing.T, conn *aegis.Conn) howtov1aegis.PaymentServicePublisher {
	t.Helper()
	publisher, err := howtov1aegis.NewPaymentServicePublisher(conn)
	require.NoError(t, err)
	return publisher
}

func count(t *testing.T, db *sql.DB, table string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n)) //nolint:gosec // a constant of the test
	return n
}

func TestOlderLeaderWritesNothing(t *testing.T) {
	db := newDB(t)
	term := func(token uint64) aegis.Term { return aegis.Term{Group: "default", Token: token} }
	_, err := db.ExecContext(t.Context(), `INSERT INTO fences (name, token) VALUES ('default', 0)`)
	require.NoError(t, err)
	pay := func(token uint64, order string) error {
		return ledger.Fenced(t.Context(), db, term(token), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), `INSERT INTO payments (order_id, cents) VALUES ($1, 1)`, order)
			return err
		})
	}
	require.NoError(t, pay(1<<52, "first"))
	require.NoError(t, pay(1<<52, "again"), "a leader may write often")
	require.NoError(t, ledger.Fenced(t.Context(), db, term(1<<52+1), func(*sql.Tx) error { return nil }), "the next leader begins")
	require.ErrorIs(t, pay(1<<52, "late"), ledger.ErrFenced)
	require.NoError(t, pay(1<<52+1, "next"))
	require.Error(t, pay(1<<52+1, "next"), "the database refuses it")
	require.Equal(t, 3, count(t, db, "payments"))
}

// Events that were committed while nobody could publish, and whatever a leader had published
// without deleting it, come once and in order.
func TestOutboxIsPublishedInOrder(t *testing.T) {
	nats, db := aegistest.StartNATS(t), newDB(t)
	serve := func() (stop func()) {
		conn := nats.Connect(t)
		srv, err := aegis.NewServer(conn)
		require.NoError(t, err)
		require.NoError(t, howtov1aegis.RegisterPaymentServiceServer(srv, ledger.New(db, newPublisher(t, conn))))
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- srv.Run(ctx) }()
		stop = func() {
			if cancel(); done != nil {
				require.NoError(t, <-done)
				done = nil
			}
		}
		t.Cleanup(stop)
		return stop
	}
	stop := serve()
	serve()
	client, err := howtov1aegis.NewPaymentServiceClient(nats.Connect(t))
	require.NoError(t, err)
	pay := func(i int) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for range 2 { // a caller that does not know calls again
			_, err := client.Pay(ctx, &howtov1.PayRequest{OrderId: fmt.Sprintf("order-%02d", i), Cents: int64(i)})
			require.NoError(t, err)
		}
	}
	const orders = 20
	for i := range orders / 2 {
		pay(i)
	}
	published := func() bool { return count(t, db, "outbox") == 0 }
	require.Eventually(t, published, patience, 10*time.Millisecond)
	again, err := newPublisher(t, nats.Connect(t)).Paid(t.Context(), &howtov1.PaidRequest{OrderId: "order-00"}, aegis.MessageID("outbox-1"))
	require.NoError(t, err)
	require.True(t, again.Duplicate, "a leader that is lost before it has deleted the row leaves it to the next one, whose copy is dropped")
	stop() // another one leads, and goes on with the outbox
	for i := orders / 2; i < orders; i++ {
		pay(i)
	}
	paid := make(chan string, 100)
	aegistest.Serve(t, nats.Connect(t), func(srv *aegis.Server) error {
		return howtov1aegis.SubscribePaymentServiceEvents(srv, howtov1aegis.PaymentServiceEvents{
			Paid: func(ctx context.Context, ev *howtov1.PaidRequest) error {
				d, _ := aegis.DeliveryFromContext(ctx)
				paid <- fmt.Sprintf("%02d %s", d.Sequence, ev.GetOrderId())
				return nil
			},
		}, aegis.Compete("ledger"), aegis.StartFrom(aegis.StartAll()))
	})
	var got []string
	for range orders {
		select {
		case one := <-paid:
			got = append(got, one)
		case <-time.After(patience):
			t.Fatalf("only %d came", len(got))
		}
	}
	for i := range orders {
		require.Contains(t, got, fmt.Sprintf("%02d order-%02d", i+1, i), "the stream has the order of the commits, and each once")
	}
	require.Eventually(t, published, patience, 10*time.Millisecond)
	require.Equal(t, orders, count(t, db, "payments"))
}
