package metrics

import (
	"context"
	"maps"
	"slices"
	"strings"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
)

// OfServer returns the metrics of a server.
func OfServer(srv *aegis.Server) []Metric {
	keys, values := origin(srv)
	return slices.Concat(requests(srv), parts(srv), []Metric{
		{
			Name: "aegis.instance.info", Help: "1, with what the process says of itself, for joins.",
			Unit: "1", Labels: keys,
			Read: func(add func(float64, ...string)) { add(1, values...) },
		},
		{
			Name: "aegis.server.health_score", Help: "Health score, 0 to 100.",
			Unit: "1", Labels: []string{service},
			Read: func(add func(float64, ...string)) {
				for service := range srv.Recorders() {
					if report, ok := srv.Report(service); ok {
						add(report.Score, service)
					}
				}
			},
		},
		{
			Name: "aegis.server.ready", Help: "Whether the server is running, connected, healthy by its checks, and all its parts work.",
			Unit: "1",
			Read: func(add func(float64, ...string)) { add(truth(srv.Ready(context.Background()) == nil)) },
		},
		{
			Name: "aegis.server.leading", Help: "1 for each single active group that the instance leads.",
			Unit: "1", Labels: ofGroup,
			Read: func(add func(float64, ...string)) {
				for term := range srv.Leading() {
					add(1, term.Service, term.Group)
				}
			},
		},
		{
			Name: "aegis.server.streams", Help: "Streams whose handlers run.",
			Unit: "{stream}",
			Read: func(add func(float64, ...string)) { add(float64(srv.Streams())) },
		},
	})
}

// parts returns the metrics of the parts of a server that can fail by themselves.
func parts(srv *aegis.Server) []Metric {
	each := func(read func(p health.Part, add func(float64, ...string))) func(func(float64, ...string)) {
		return func(add func(float64, ...string)) {
			for p := range srv.Parts() {
				read(p, add)
			}
		}
	}
	ofPart := []string{"part"}
	return []Metric{
		{
			Name: "aegis.server.part_broken", Help: "1 for each part of the server that cannot work, such as the commands of a method.",
			Unit: "1", Labels: ofPart,
			Read: each(func(p health.Part, add func(float64, ...string)) {
				if p.Err != nil {
					add(1, p.Name)
				}
			}),
		},
		{
			Name: "aegis.server.part_failures", Help: "Times that a part of the server has begun to fail.",
			Unit: "{failure}", Counter: true, Labels: ofPart,
			Read: each(func(p health.Part, add func(float64, ...string)) { add(float64(p.Failures), p.Name) }),
		},
		{
			Name: "aegis.server.part_outage", Help: "Time in which a part of the server could not work.",
			Unit: "s", Counter: true, Labels: ofPart,
			Read: each(func(p health.Part, add func(float64, ...string)) { add(p.Broken.Seconds(), p.Name) }),
		},
	}
}

// requests returns the metrics of what a server has handled.
func requests(srv *aegis.Server) []Metric {
	methods := func(read func(m *health.Method, add func(float64, ...string), service string)) func(func(float64, ...string)) {
		return func(add func(float64, ...string)) {
			for service, recorder := range srv.Recorders() {
				for _, m := range recorder.Methods() {
					read(m, add, service)
				}
			}
			for service, recorder := range srv.EventRecorders() {
				for _, m := range recorder.Methods() {
					read(m, add, service)
				}
			}
		}
	}
	return []Metric{
		{
			Name: "aegis.server.requests", Help: "Calls, events and commands that were handled, by code.",
			Unit: request, Counter: true, Conventional: true, Labels: withCode,
			Read: methods(func(m *health.Method, add func(float64, ...string), service string) {
				addCodes(m.Totals(), func(n uint64, code string) { add(float64(n), service, m.Name(), code) })
			}),
		},
		{
			Name: "aegis.server.refused", Help: "Calls that were refused before a handler ran, by reason.",
			Unit: request, Counter: true, Labels: withCause,
			Read: methods(func(m *health.Method, add func(float64, ...string), service string) {
				for reason, n := range m.Totals().Refused {
					add(float64(n), service, m.Name(), reason)
				}
			}),
		},
		{
			Name: "aegis.server.requests.in_flight", Help: "Calls, events and commands whose handlers run.",
			Unit: request, Labels: ofMethod,
			Read: methods(func(m *health.Method, add func(float64, ...string), service string) {
				add(float64(m.InFlight()), service, m.Name())
			}),
		},
	}
}

// origin returns the labels of an instance, and their values: version, zone, node, and the
// labels that the user has set, as label_<name>.
func origin(srv *aegis.Server) (keys, values []string) {
	o := srv.Origin()
	keys, values = []string{"version", "zone", "node"}, []string{o.Build, o.Zone, o.Node}
	for _, name := range slices.Sorted(maps.Keys(o.Labels)) {
		key := "label_" + sanitized(name)
		if !slices.Contains(keys, key) { // two names may become one
			keys, values = append(keys, key), append(values, o.Labels[name])
		}
	}
	return keys, values
}

// sanitized makes a name of a label of Prometheus, as kube-state-metrics does.
func sanitized(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			return r
		default:
			return '_'
		}
	}, name)
}
