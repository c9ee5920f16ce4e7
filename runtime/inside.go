package aegis

import (
	"context"

	"github.com/aegisrpc/aegis/runtime/internal/inside"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Packages beside this one, such as aegisadmin, need more of a connection than users do.
var _ = inside.Provide(func(conn any) inside.Conn {
	c := conn.(*Conn) //nolint:forcetypeassert // those packages pass nothing else
	return inside.Conn{
		Bus: c.bus, Stores: c.stores, Layout: c.layout(), Logger: c.logger,
		Error:      func(why *status.Status) error { return errorOrNone(outward(why)) },
		NextLetter: c.nextLetter,
	}
})

func (c *Conn) nextLetter(ctx context.Context, service, method, id string, sequence uint64) (any, error) {
	if err := checkService(service); err != nil {
		return nil, err
	}
	letter, why := c.deadLetters().NextOf(ctx, service, method, id, sequence)
	if letter == nil || why != nil {
		return nil, errorOrNone(outward(why))
	}
	return newDeadLetter(letter), nil
}
