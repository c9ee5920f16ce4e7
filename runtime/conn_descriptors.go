package aegis

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/runtime/internal/descset"
	"github.com/aegisrpc/aegis/runtime/internal/descstore"
	"github.com/aegisrpc/aegis/runtime/internal/specs"
)

// Comment is the comment of a declaration in a .proto file. Generated code has the comments
// of its file, as the descriptors that are linked into a program have none.
type Comment struct {
	// Name is the full name of the declaration without the package:
	// OrderService.PlaceOrder.
	Name string
	// Text has the lines of the comment, without the slashes and the space behind them.
	Text string
}

// describes takes note of a service whose descriptors this program serves, or keeps with
// what is stored. The descriptors are made when they are needed first.
func (c *Conn) describes(service protoreflect.ServiceDescriptor) { c.descriptors().Note(service) }

type descriptorsKey struct{}

// descriptors returns the descriptors of the services that this program uses.
func (c *Conn) descriptors() *descset.Sets {
	return perConn(c, descriptorsKey{}, func() *descset.Sets { return new(descset.Sets) })
}

// keepDescriptors has the descriptors of services kept with what is stored of them.
func (c *Conn) keepDescriptors() {
	keeper := descstore.New(descstore.Options{
		Stores: c.stores, Namespace: c.ns, Sets: c.descriptors(), Replicas: c.replicas, Start: c.startWithin, Logger: c.logger,
	})
	c.stores.OnOpened(keeper.Opened)
}

type specsKey struct{}

// specs returns the options of the services that were looked up over the connection.
func (c *Conn) specs() *specs.Specs {
	return perConn(c, specsKey{}, func() *specs.Specs { return new(specs.Specs) })
}
