package aegislimit

import (
	"context"
	"errors"
	"fmt"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// Option is an option of New.
type Option interface{ apply(i *Interceptor) error }

type option func(*Interceptor) error

func (o option) apply(i *Interceptor) error { return o(i) }

// PerMethod gives each method, at each side, a limit of its own. Default: everything that
// passes the interceptor shares one.
func PerMethod() Option {
	return option(func(i *Interceptor) error {
		i.perMethod = true
		return nil
	})
}

// PerKey gives each key a limit of its own, such as each tenant or user that an interceptor
// further outside has put into the context. It keeps at most mostKeys of them: keys that have
// not been used for burst/limit seconds are forgotten, and if there are more that are in use,
// the rest share one limit. mostKeys is from 1 to 10,000,000, and each takes some 300 bytes.
// key is called for each call and must be safe for concurrent use. Default: no keys.
func PerKey(key func(ctx context.Context, call *aegis.Call) string, mostKeys int) Option {
	return option(func(i *Interceptor) error {
		switch {
		case key == nil:
			return errors.New("aegislimit: the function that returns the key is nil")
		case mostKeys < 1 || mostKeys > 10_000_000:
			return fmt.Errorf("aegislimit: %d keys: use 1 to 10,000,000", mostKeys)
		case i.key != nil:
			return errors.New("aegislimit: there are two keys; use two interceptors")
		}
		i.key, i.mostKeys = key, mostKeys
		return nil
	})
}

// PerHeader is PerKey with a value of the metadata of the request as the key. Calls without
// the value share one limit. Callers can write what they like into metadata: check it first.
func PerHeader(name string, mostKeys int) Option {
	return PerKey(func(_ context.Context, call *aegis.Call) string { return call.RequestHeader().Get(name) }, mostKeys)
}

// WithWait makes what exceeds the limit wait for its turn, at all sides. It is refused only if
// its context would end before. Default: only handlers of events and commands wait.
func WithWait() Option {
	return option(func(i *Interceptor) error {
		i.wait = true
		return nil
	})
}
