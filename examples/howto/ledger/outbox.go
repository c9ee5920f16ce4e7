package ledger

import (
	"context"
	"database/sql"
	_ "embed" // for Schema
	"errors"
	"fmt"
	"log/slog"
	"time"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Schema makes the tables.
//
//go:embed schema.sql
var Schema string

// Ledger serves payments, which it keeps in an SQL database.
type Ledger struct {
	howtov1aegis.UnimplementedPaymentServiceServer

	db        *sql.DB
	publisher howtov1aegis.PaymentServicePublisher
	written   chan struct{} // has room for one; tells the relay that the outbox may have more
	paid      int           // how many payments there are
}

// New returns a ledger on a database that has the tables of Schema.
func New(db *sql.DB, publisher howtov1aegis.PaymentServicePublisher) *Ledger {
	return &Ledger{db: db, publisher: publisher, written: make(chan struct{}, 1)}
}

// load reads the state of the leader.
func (l *Ledger) load(ctx context.Context, tx *sql.Tx) error {
	return tx.QueryRowContext(ctx, `SELECT count(*) FROM payments`).Scan(&l.paid)
}

// Pay writes the payment and the event that tells of it in one transaction.
func (l *Ledger) Pay(ctx context.Context, req *howtov1.PayRequest) (*howtov1.PayResponse, error) {
	term, _ := aegis.TermFromContext(ctx)
	err := Fenced(ctx, l.db, term, func(tx *sql.Tx) error {
		added, err := tx.ExecContext(ctx, `INSERT INTO payments (order_id, cents) VALUES ($1, $2) ON CONFLICT DO NOTHING`, req.GetOrderId(), req.GetCents())
		if err != nil {
			return err
		}
		if n, err := added.RowsAffected(); err != nil || n == 0 {
			return err // it is paid already
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO outbox (order_id, cents) VALUES ($1, $2)`, req.GetOrderId(), req.GetCents())
		return err
	})
	if err != nil {
		return nil, err
	}
	select {
	case l.written <- struct{}{}:
	default: // it is told already
	}
	return &howtov1.PayResponse{}, nil
}

// relay publishes what the outbox has, until the term of the leader ends.
func (l *Ledger) relay(ctx context.Context) {
	for ctx.Err() == nil {
		more, err := l.relayOne(ctx)
		switch {
		case more:
			continue
		case err != nil && ctx.Err() == nil:
			slog.Error("the outbox is not published", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-l.written:
		case <-time.After(time.Second): // after an error, or for rows that others have written
		}
	}
}

// relayOne publishes the oldest event of the outbox. It is deleted when the stream has it.
func (l *Ledger) relayOne(ctx context.Context) (more bool, err error) {
	var id int64
	ev := &howtov1.PaidRequest{}
	err = l.db.QueryRowContext(ctx, `SELECT id, order_id, cents FROM outbox ORDER BY id LIMIT 1`).Scan(&id, &ev.OrderId, &ev.Cents)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// A second try has the same id, and the stream drops it.
	if _, err := l.publisher.Paid(ctx, ev, aegis.MessageID(fmt.Sprintf("outbox-%d", id))); err != nil {
		return false, err
	}
	_, err = l.db.ExecContext(ctx, `DELETE FROM outbox WHERE id = $1`, id)
	return err == nil, err
}
