package metrics

import (
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
)

// OfConn returns the metrics of a connection and of the clients that use it.
func OfConn(conn *aegis.Conn) []Metric { return append(callers(conn), link(conn)...) }

// callers returns the metrics of the methods that are called.
func callers(conn *aegis.Conn) []Metric {
	calls := func(read func(m *health.Caller, add func(float64, ...string), service string)) func(func(float64, ...string)) {
		return func(add func(float64, ...string)) {
			for service, callers := range conn.Callers() {
				for _, m := range callers.Methods() {
					read(m, add, service)
				}
			}
		}
	}
	total := func(of func(health.CallerTotals) float64) func(func(float64, ...string)) {
		return calls(func(m *health.Caller, add func(float64, ...string), service string) {
			add(of(m.CallerTotals()), service, m.Name())
		})
	}
	return []Metric{
		{
			Name: "aegis.client.requests", Help: "Calls that have ended, streams, broadcasts, and sent commands and durable events, by code.",
			Unit: request, Counter: true, Conventional: true, Labels: withCode,
			Read: calls(func(m *health.Caller, add func(float64, ...string), service string) {
				addCodes(m.Totals(), func(n uint64, code string) { add(float64(n), service, m.Name(), code) })
			}),
		},
		{
			Name: "aegis.client.requests.in_flight", Help: "Calls under way, and open streams.",
			Unit: request, Labels: ofMethod,
			Read: calls(func(m *health.Caller, add func(float64, ...string), service string) {
				add(float64(m.InFlight()), service, m.Name())
			}),
		},
		{
			Name: "aegis.client.retries", Help: "Attempts of calls beyond the first.",
			Unit: "{attempt}", Counter: true, Labels: ofMethod,
			Read: total(func(t health.CallerTotals) float64 { return float64(t.Retries) }),
		},
		{
			Name: "aegis.client.refused", Help: "Attempts that the runtime has refused or lost, by reason.",
			Unit: "{attempt}", Counter: true, Labels: withCause,
			Read: calls(func(m *health.Caller, add func(float64, ...string), service string) {
				for reason, n := range m.CallerTotals().Failed {
					add(float64(n), service, m.Name(), reason)
				}
			}),
		},
		{
			Name: "aegis.client.unknown_outcomes", Help: "Calls that have failed after a handler may have run, and whose outcome is not known.",
			Unit: request, Counter: true, Labels: ofMethod,
			Read: total(func(t health.CallerTotals) float64 { return float64(t.Unknown) }),
		},
		{
			Name: "aegis.client.wait", Help: "Time that calls have waited between attempts, for a leader, and for the connection.",
			Unit: "s", Counter: true, Labels: ofMethod,
			Read: total(func(t health.CallerTotals) float64 { return t.Waited.Seconds() }),
		},
	}
}

// link returns the metrics of the connection itself, and of the leaders that it follows.
func link(conn *aegis.Conn) []Metric {
	report := func(of func(health.Connection) float64) func(func(float64, ...string)) {
		return func(add func(float64, ...string)) { add(of(conn.Report())) }
	}
	gaps := func(of func(health.LeaderGaps) float64) func(func(float64, ...string)) {
		return func(add func(float64, ...string)) {
			for _, g := range conn.Report().Leaders {
				add(of(g), g.Service, g.Group)
			}
		}
	}
	return []Metric{
		{
			Name: "aegis.client.streams", Help: "Streams that clients have open.",
			Unit: "{stream}",
			Read: report(func(r health.Connection) float64 { return float64(r.Streams) }),
		},
		{
			Name: "aegis.client.leader_gaps", Help: "Times that calls found no leader of the group, with the gap that lasts.",
			Unit: "{gap}", Counter: true, Labels: ofGroup,
			Read: gaps(func(g health.LeaderGaps) float64 { return float64(g.Gaps) }),
		},
		{
			Name: "aegis.client.leader_gap", Help: "Time in which calls found no leader of the group.",
			Unit: "s", Counter: true, Labels: ofGroup,
			Read: gaps(func(g health.LeaderGaps) float64 { return g.Lasted.Seconds() }),
		},
		{
			Name: "aegis.connection.up", Help: "Whether the connection to NATS is up.",
			Unit: "1",
			Read: report(func(r health.Connection) float64 { return truth(r.Up) }),
		},
		{
			Name: "aegis.connection.outages", Help: "Times that the connection to NATS was lost, with the outage that lasts.",
			Unit: "{outage}", Counter: true,
			Read: report(func(r health.Connection) float64 { return float64(r.Outages) }),
		},
		{
			Name: "aegis.connection.down", Help: "Time that the connection to NATS was down.",
			Unit: "s", Counter: true,
			Read: report(func(r health.Connection) float64 { return r.Down.Seconds() }),
		},
		{
			Name: "aegis.connection.denials", Help: "Messages and subscriptions that NATS has refused for want of a permission.",
			Unit: "{denial}", Counter: true,
			Read: report(func(r health.Connection) float64 { return float64(r.Denials) }),
		},
	}
}
