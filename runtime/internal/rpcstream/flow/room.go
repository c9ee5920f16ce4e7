package flow

import "time"

const (
	// LeastRoom lets one part of a message travel while the one before is confirmed.
	LeastRoom = 64 << 10
	// FirstRoom takes a link of 150 kB/s less than two seconds.
	FirstRoom = 256 << 10
	// MostRoom is well below the 64 MiB of pending bytes and the 10 s for one write
	// after which a NATS server gives a client up.
	MostRoom = 16 << 20
	// LeastShare is the least window of a stream, however many streams there are.
	LeastShare = 16 << 10

	// quickAnswer is how soon an answer of NATS shows that the link would carry more.
	quickAnswer = 200 * time.Millisecond
	// SlowAnswer is how late an answer of NATS shows that more is under way than the link
	// carries.
	SlowAnswer = 500 * time.Millisecond
)

// Room is how many bytes the streams of a connection should have under way in
// each direction: as many as its link carries without the answers of others having
// to wait behind them. The sign is how long NATS takes for an answer, as in TCP
// Vegas (Brakmo and Peterson, 1995): the room doubles while that is quick, and
// halves when it is slow.
type Room uint64

// Answered says how long NATS has taken for an answer, and whether the room was in use
// meanwhile: if not, a quick answer says nothing about the link.
func (r *Room) Answered(after time.Duration, used bool) {
	switch {
	case after < quickAnswer && used:
		*r = min(*r*2, MostRoom)
	case after >= SlowAnswer:
		*r = max(*r/2, LeastRoom)
	}
}

// Share returns the window of one of so many streams that are in use, which would like to
// have wanted bytes.
func (r *Room) Share(streams int, wanted uint64) uint64 {
	return min(wanted, max(uint64(*r)/uint64(max(streams, 1)), LeastShare))
}
