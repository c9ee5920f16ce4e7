// Package selection picks the instance that a call goes to.
//
// The package is pure: it opens no connection, starts no goroutine, and is given its clock
// and its randomness. A [Set] knows the instances of one service; a [Picker] picks from it
// by one [Strategy]. The outcome of a call counts for all pickers of a set, so that one set
// per service and connection is enough for all clients and strategies.
//
// # What is promised
//
//   - Only candidates are picked: instances that are running, healthy and not
//     known to be dead. A Pick heeds every Put, Beat, Remove and Finish that has
//     returned before it begins, whatever the strategy does.
//   - An instance that answered "no responders" gets nothing more until it is
//     seen alive: by a heartbeat that comes at least [Config.Quarantine] later,
//     or as another process. Reading its stored record again is no sign of life.
//   - An instance that refused a call because it is stopping is not picked again.
//   - An instance that lacks a method is not picked by a picker of that method.
//   - A pick takes constant time on average, whatever the number of instances,
//     and allocates nothing; only a sticky pick may look at more instances when
//     most are full. A change of the candidates costs the next pick of each
//     picker O(n).
//   - A strategy that panics, picks no instance or picks a position that does not
//     exist harms that one call alone: the call gets an error, or another
//     instance. A strategy must not block, as it would block its call.
//
// # How it is driven
//
//	set := selection.NewSet(selection.Config{})
//	set.Put(info)                 // joined or changed, from the registry
//	set.Beat(id, beat)            // each heartbeat
//	set.Remove(id)                // left or expired
//
//	picker := set.Picker(selection.LeastLoaded())
//	instance, err := picker.Pick(selection.Call{Key: key})
//	// send the call to instance.ID()
//	picker.Finish(instance, selection.Outcome{Latency: took})
//
// For a retry, add the instance to a [Tried] and pass that in the next Call.
package selection
