package aegis

import (
	"github.com/aegisrpc/aegis/runtime/internal/inside"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Packages beside this one, such as aegisadmin, need more of a connection than users do.
var _ = inside.Provide(func(conn any) inside.Conn {
	c := conn.(*Conn) //nolint:forcetypeassert // those packages pass nothing else
	return inside.Conn{
		Bus: c.bus, Stores: c.stores, Layout: stores.Layout{Namespace: c.ns, Subjects: c.subjects},
		Error: func(why *status.Status) error { return errorOrNone(outward(why)) },
	}
})
