// Package election decides which process of a group is its leader, and for
// how long that process may act.
//
// It is pure: state machines over a store (one record per group, written by
// compare-and-set), a link (messages to oneself and to the leader's process)
// and a clock. It starts no goroutine, opens no connection and reads no time of
// its own; a driver hands it events and carries out what it asks for. The same
// code therefore runs over NATS and inside the deterministic simulation of its
// tests.
//
// # What is promised
//
// At most one leader of a group acts at a time, which means: starts handlers or
// sends replies, each preceded by [Lease.MayAct] or [Lease.Reply]. Every term
// has a token ([Term]) greater than those of all terms before it. While a
// majority of the store and one healthy candidate live, some candidate leads.
// A leader whose connection to its NATS server ends is replaced about one act
// window later, any other lost leader about one lease later.
//
// # Under which assumptions
//
//   - The clocks of two processes run at rates that differ by less than 12 %
//     (two that are off by 5 % each differ by 10.6 %). Their readings are never
//     compared.
//   - The store keeps what it acknowledged: sync_interval "always", or three
//     replicas. A store that was rolled back can give two leaders; their
//     tokens are still different and increasing, as long as wall clocks agree
//     better than the time that the roll-back took.
//   - The NATS server delivers nothing through a connection's subscriptions
//     once it has dropped them, and no_fast_producer_stall stays off (its
//     default).
//   - All candidates of a group that may ever lead have seen a record of each
//     other when their leases differ. One with a shorter lease that has never
//     seen a record of the other may take over too early.
//
// # What is not promised
//
// A check and the action after it are two steps: a process can be stopped
// between them for any time. Effects outside the group (a database, a file)
// are protected only when they compare the token and refuse an older one. A
// handler that was started inside the lease runs on after it; only its reply is
// withheld. Leadership is not fair and has no priority among candidates.
//
// # How it is driven
//
// One [Process] per operating-system process, one [Candidate] per group in it.
// The driver implements [Link], [Store] and [Observer], whose methods only start
// something, and reports what becomes of it by calling the On methods, one at a
// time. It keeps a timer at [Process.Next]. Requests and replies look only at
// [Candidate.Lease], which needs no lock.
//
//	lease := candidate.Lease()
//	if lease == nil || !lease.MayAct(clock.Now()) {
//		// answer NOT_ACTIVE; if lease.Rests, call Rouse and ask again after the next OnEcho
//	}
//	// run the handler with lease.Term() as its token
//	switch lease.Reply(clock.Now()) {
//	case election.ReplySend:
//	case election.ReplyHold: // queue it, call Rouse, ask again after OnEcho, Resumed and at lease.Until()
//	case election.ReplyLost: // answer LEADERSHIP_LOST
//	}
//
// # The rules
//
// L is the lease, W the act window, m the margin of 12 % for clocks that run at
// different rates. Comments in the code name the rule that they implement.
//
// The leader:
//
//	L1  acts only inside its lease and inside its contact window
//	L2  lease: compare-and-set every L/4; it counts from before the write was
//	    sent, and only if the connection was the same before and after
//	L3  contact: a message to itself every W/4; it counts W from before it was
//	    sent, on the connection of the last lease write only. A leader that
//	    nobody wanted to act for L rests: it sends few, and one when it is
//	    roused
//	L4  while one is missing it is suspended, not deposed: replies wait
//	L5  at the end of the lease it steps down by itself and waits as all others
//	L6  without contact for L it resigns; it subscribes anew after a second
//	L7  release: a compare-and-set to a released record, never a delete
//	L8  a wall clock that ran ahead of the monotonic one (a suspended machine)
//	    suspends until the next compare-and-set
//	L9  serves only after a read that showed its record in the bucket of its
//	    claim, and at most L after the last one was sent, whatever is renewed
//
// The standby:
//
//	S1  stands only if a message to itself came back in the last 3W, for
//	    which it sends one when it is about to claim
//	S2  lease timer: each new revision restarts L(1+m)
//	S3  absence is no release: a missing record is replaced by a vacant one,
//	    which starts L(1+m) like any other
//	S4  a released record is honoured at once
//	S5  early takeover: "no responders" from the leader's process, earned, on
//	    the leader's own NATS server and about what is still current; then
//	    W(1+m); then compare-and-set of exactly that revision
//	S6  two named probers at the full rate, all others in turns: together
//	    every 500 ms, and each at least every 30 s
//	S7  a refused write proves nothing: read; a lower revision or another
//	    bucket restarts the timer
//	S8  waits take the largest lease and window that a record ever showed
//
// Handing over, which only ever makes a candidate wait longer than it would:
//
//	H1  a leader that is asked to hand over starts nothing more, finishes what
//	    runs, and releases as L7 says
//	H2  it then claims nothing for L(1+m)
//	H3  so do the standbys that hear that another one is to follow
package election
