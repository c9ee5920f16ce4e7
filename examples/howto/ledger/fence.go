package ledger

import (
	"context"
	"database/sql"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// ErrFenced is the error of writes whose leader has been followed by another one.
var ErrFenced = aegis.NewError(aegis.CodeAborted, "another leader writes by now: call again")

// Fenced runs write in a transaction, which is committed unless a later leader has begun.
func Fenced(ctx context.Context, db *sql.DB, term aegis.Term, write func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after the commit it does nothing
	// The row stays locked until the commit: a later leader waits for this write, or this one finds its token.
	fenced, err := tx.ExecContext(ctx, `UPDATE fences SET token = $1 WHERE name = $2 AND token <= $1`, term.Token, term.Group)
	if err != nil {
		return err
	}
	if n, err := fenced.RowsAffected(); err != nil || n == 0 {
		return ErrFenced
	}
	if err := write(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// OnLeading raises the token before it reads anything: what it reads is final then.
func (l *Ledger) OnLeading(ctx context.Context, term aegis.Term) error {
	_, err := l.db.ExecContext(ctx, `INSERT INTO fences (name, token) VALUES ($1, 0) ON CONFLICT DO NOTHING`, term.Group)
	if err != nil {
		return err
	}
	err = Fenced(ctx, l.db, term, func(tx *sql.Tx) error { return l.load(ctx, tx) })
	if err != nil {
		return err
	}
	go l.relay(ctx) // see outbox.go
	return nil
}
