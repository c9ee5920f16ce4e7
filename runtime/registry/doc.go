// Package registry knows which instances of which services there are: what an
// instance says of itself ([Record]), and how a watcher turns what it hears into
// a view with typed changes ([View], [Feed]).
//
// It is pure: it starts no goroutine, opens no connection and reads no time of
// its own. An adapter hands it what arrives, with a reading of its own clock.
//
// # Two sources, one truth
//
// An instance writes its record into a store when it changes, and sends it with
// each heartbeat. The store gives a watcher that begins, or comes back, the
// whole picture at once; heartbeats carry changes and liveness, and rebuild the
// picture where there is no store. Both may be late, repeated or lost, so
// records are ordered by what is in them: by incarnation among the processes
// that use one name after another, and by change within a process. A watcher
// keeps the newest that it has seen, from wherever.
//
// # Who is there
//
//   - Only heartbeats keep an instance in the view. One that has not been heard
//     for three of its own intervals and [Grace] is gone, whatever the store
//     still says.
//   - A watcher counts by its own clock, and only while it can hear: not while
//     it is disconnected, and not while its process is paused. After a reconnect
//     everybody has the full time again.
//   - An instance that stops says so in its last heartbeat and is gone at once.
//     A deleted key alone ends nobody, as keys can be deleted by hand, with the
//     bucket, or by age, while the instance lives.
//   - What is gone is remembered for [Memory], so that late records of it do not
//     bring it back.
//
// # What is not promised
//
// A watcher that begins, or has been away, takes what the store has for alive
// until it would have heard it: a dead instance shows for that long. Two
// processes with one name that can both be heard may take turns in a view until
// one of them notices and stops; see the adapter.
package registry
