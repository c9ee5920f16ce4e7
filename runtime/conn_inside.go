package aegis

import (
	"github.com/aegisrpc/aegis/runtime/internal/inside"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Inside is for the packages of Aegis beside this one, such as aegisadmin. Programs have no
// use for it.
func (c *Conn) Inside() inside.Conn {
	return inside.Conn{
		Bus: c.bus, Stores: c.stores, Layout: stores.Layout{Namespace: c.ns, Subjects: c.subjects},
		Error: func(why *status.Status) error { return errorOrNone(outward(why)) },
	}
}
