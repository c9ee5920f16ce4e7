// Package aegisreflect calls services by name, without their generated code: messages are
// JSON, or dynamic messages of package dynamicpb.
//
//	orders, err := aegisreflect.New(conn).Service(ctx, "order.v1.OrderService")
//	place, err := orders.Method("PlaceOrder")
//	req, err := place.Request([]byte(`{"id": "1", "symbol": "AEG", "side": "SIDE_BUY", "quantity": 5, "priceCents": 100}`))
//	resp, err := place.Call(ctx, req)
//	text, err := orders.JSON(resp)
//
// A Resolver asks the servers of a service for its descriptors. Where no server runs, it
// reads the descriptors that were kept with the stored events and commands of the service.
// A Service has the descriptor of the service, its comments and its methods. A Method has
// an operation for each pattern: Call, Stream, Upload, Bidi, Broadcast, Send, Publish and
// Observe. They take the options, and the context with the metadata, that generated clients
// take, and behave as those do.
//
// Each error of this package is an *aegis.Error, or wraps one. See docs/reflection.md.
package aegisreflect
