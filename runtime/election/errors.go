package election

import "errors"

var (
	// ErrInvalidConfig is wrapped by the errors of [Config.Validate] and of
	// constructors that were given names that cannot be used.
	ErrInvalidConfig = errors.New("election: invalid configuration")

	// ErrForeignRecord means that the key holds something that no candidate of
	// this kind wrote. Candidates leave it alone until it is removed or
	// replaced.
	ErrForeignRecord = errors.New("election: the key holds a value that is not a leader record")

	// ErrCorruptRecord means that the key holds a leader record with values
	// that no candidate writes. Candidates leave it alone until it is removed
	// or replaced.
	ErrCorruptRecord = errors.New("election: the leader record is corrupt")

	// ErrFutureRecord means that a newer version of this package wrote the
	// record. The candidate does not stand until it is updated.
	ErrFutureRecord = errors.New("election: the leader record has a newer version")

	// ErrRefused is what a [Store] reports for a write whose revision was not
	// the last one.
	ErrRefused = errors.New("election: wrong last revision")

	// ErrTermExhausted means that the record's term, or this machine's clock,
	// is beyond what a term can hold.
	ErrTermExhausted = errors.New("election: no greater term is left")
)

// Why a leadership ended: the causes given to [Observer.Lost].
var (
	// ErrLeaseExpired means that no renewal succeeded in time.
	ErrLeaseExpired = errors.New("election: lease expired before it could be renewed")

	// ErrSuperseded means that the record is another's, or gone.
	ErrSuperseded = errors.New("election: the leader record was taken over or removed")

	// ErrNoContact means that no message to itself came back for a whole lease:
	// the liveness subscription is missing or the connection is too slow.
	ErrNoContact = errors.New("election: no message to itself came back for a whole lease")

	// ErrResigned means that the candidate was asked to resign.
	ErrResigned = errors.New("election: resigned")

	// ErrHandedOver means that the leader was asked to let another candidate lead.
	ErrHandedOver = errors.New("election: handed over")

	// ErrNotReady means that OnLeading failed.
	ErrNotReady = errors.New("election: OnLeading failed")
)
