// Package aegismonitor shows the services of a namespace as they are: a web page, and an HTTP
// API with JSON, server-sent events and metrics for Prometheus. [New] returns a handler that a
// program mounts under any path; the command aegis monitor is the same as a process.
//
//	monitor, err := aegismonitor.New(conn, aegismonitor.WithBearerToken(token))
//	defer monitor.Close()
//	mux.Handle("/monitor/", http.StripPrefix("/monitor", monitor))
//
// Below its path are the page, the API at api/v1/, which api/v1/openapi.json describes,
// metrics, healthz and readyz. The last two answer everybody.
//
// A monitor reads, and changes nothing, unless its options allow more. Without options
// everybody who reaches it may read, so serve it on a loopback address, or give it one of
// [WithBearerToken], [WithBasicAuth] and [WithProxyHeader]. On a loopback address a monitor
// that lets everybody in answers only requests for localhost and loopback addresses, so that
// no web page of somebody else can read it. All users may do the same.
//
// Several monitors may run side by side. A monitor reads much only while somebody looks, and
// has up to 500 streams of events open. Programs that do not import this package link nothing
// of it. See docs/monitor.md.
package aegismonitor
