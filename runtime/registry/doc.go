// Package registry knows which instances of which services there are. A [Record] has the
// facts that an instance tells about itself; a watcher turns records and heartbeats into
// a [View] of the instances, and a [Feed] of their changes.
//
// The package is pure: it starts no goroutine, opens no connection and reads no clock. An
// adapter hands it each message that arrives, with a reading of the adapter's clock.
//
// # Two sources, one truth
//
// An instance writes its record into a store when it changes, and sends it with
// each heartbeat. The store tells a watcher all instances at once when the watcher
// begins, or comes back. Heartbeats tell changes and liveness, and without a store they
// tell the instances too, after a while. Records of either source may be late, repeated
// or lost. So they have an order of their own: the incarnation among the processes that
// use one name after another, and the change within a process. A watcher keeps the newest
// record that it has seen, from whichever source.
//
// # Who is there
//
//   - Only heartbeats keep an instance in the view. One that has not been heard
//     for three of its own intervals and [Grace] is gone, whatever the store
//     still says.
//   - A watcher counts by its own clock, and only while it can hear: not while
//     it is disconnected, and not while its process is paused. After a reconnect
//     each instance has the full time again.
//   - An instance that stops says so in its last heartbeat and is gone at once.
//     A deleted key alone removes no instance, as keys can be deleted by hand,
//     with the bucket, or by age, while the instance lives.
//   - An instance that is gone is remembered for [Memory], so that late records
//     of it do not bring it back.
//
// # What is not promised
//
// A watcher that begins, or has been away, takes the instances in the store for alive
// until their heartbeats are due: a dead instance shows for that long. Two processes
// with one name that can both be heard may take turns in a view, until one of them
// notices and stops; see the adapter.
package registry
