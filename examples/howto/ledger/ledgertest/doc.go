// Package ledgertest has no code: its tests run package ledger with SQLite. It is a module of
// its own, so that nobody else needs the database. `make howtotest` runs them.
package ledgertest
