// Package ledger keeps payments in an SQL database, for the pages fence.md and outbox.md in
// docs/howto. Its tests are in ledgertest, a module of its own, as they need a database.
package ledger
