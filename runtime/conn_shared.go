package aegis

import "sync"

// sharedValues are values that the users of a connection have in common, such as one
// selector of the instances of a service for all of its clients. A connection keeps them
// without knowing what they are. The zero value is ready for use.
type sharedValues struct {
	mu     sync.Mutex // guards values
	values map[any]any
}

// perConn returns the value that a connection has under a key; the first call creates it.
// The connection keeps the value for as long as it exists, also after Close: a value with
// something to stop watches the connection's context.
//
// A key has a type that only one user of the connection knows, like the key of a value in
// a context, and all values under keys of that type have the type T. create runs with the
// lock of all values held, so it must neither wait nor call perConn. A unary call must not
// wait for that lock: a client looks its values up when it is made.
func perConn[T any](c *Conn, key any, create func() T) T {
	s := &c.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if value, ok := s.values[key]; ok {
		return value.(T) //nolint:forcetypeassert // one type for each key
	}
	if s.values == nil {
		s.values = map[any]any{}
	}
	value := create()
	s.values[key] = value
	return value
}
