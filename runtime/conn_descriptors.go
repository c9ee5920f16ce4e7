package aegis

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/aegisrpc/aegis/runtime/internal/descset"
	"github.com/aegisrpc/aegis/runtime/internal/descstore"
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

// documented is the descriptor of a service with the comments of its file.
type documented struct {
	protoreflect.ServiceDescriptor

	comments []Comment
}

// describes takes note of a service whose descriptors this program serves, or keeps with
// what is stored. The descriptors are made when they are needed first.
func (c *Conn) describes(service protoreflect.ServiceDescriptor) {
	var comments []descset.Comment
	if d, ok := service.(*documented); ok {
		service = d.ServiceDescriptor
		for _, comment := range d.comments {
			comments = append(comments, descset.Comment(comment))
		}
	}
	// A dynamic client has descriptors of somebody else, who serves and keeps them.
	if own, _ := protoregistry.GlobalFiles.FindDescriptorByName(service.FullName()); own == service {
		c.descriptors().Add(service, comments)
	}
}

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
