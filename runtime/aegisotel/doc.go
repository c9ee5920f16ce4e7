// Package aegisotel has OpenTelemetry interceptors for clients and servers. They make
// spans and metrics by the semantic conventions for RPC, and by those for messaging where
// the method is an event or a command, and put W3C trace context into the metadata. Only
// programs that import the package link OpenTelemetry.
//
//	tracing, err := aegisotel.Client()
//	client, err := orderv1aegis.NewOrderServiceClient(conn, aegis.WithInterceptors(tracing))
//
//	tracing, err := aegisotel.Server()
//	srv, err := aegis.NewServer(conn, aegis.WithInterceptors(tracing))
//
// A client's span covers a call with all its attempts; each attempt that reaches a
// handler is a span of its server. docs/observability.md lists names and
// attributes.
package aegisotel
