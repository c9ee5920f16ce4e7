package aegis

import "sync"

// sharedValues are the values that the users of a connection have in common, such
// as one view of the instances of a service for all of its clients. A connection
// keeps them without knowing what they are. The zero value is ready for use.
type sharedValues struct {
	mu     sync.Mutex // guards values
	values map[any]any
}

// perConn returns the value that a connection has under a key, and makes it when
// nobody has asked for it before. The connection keeps the value until it is
// garbage itself: a value that has something to stop watches the connection's
// context.
//
// A key is a value of a type that only its one user has, as a key of a context is,
// and all of its values have the type T. make runs with the lock of all these values
// held, so it must neither wait nor call perConn. The lock is also why a unary call
// looks up nothing here: a client does so when it is made.
func perConn[T any](c *Conn, key any, make func() T) T {
	s := &c.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if value, ok := s.values[key]; ok {
		return value.(T) //nolint:forcetypeassert // one type for each key
	}
	if s.values == nil {
		s.values = map[any]any{}
	}
	value := make()
	s.values[key] = value
	return value
}
