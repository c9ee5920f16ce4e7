package metrics

import "github.com/prometheus/client_golang/prometheus"

// family is one metric with its labels.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string, labels ...string) *family {
	return &family{desc: prometheus.NewDesc("aegis_"+name, help, labels, nil), kind: prometheus.GaugeValue}
}

func counter(name, help string, labels ...string) *family {
	return &family{desc: prometheus.NewDesc("aegis_"+name, help, labels, nil), kind: prometheus.CounterValue}
}

// The metrics. Labels have the names that they have in package aegisprom.
var (
	instances = gauge("instances", "Instances that serve a service, by state.", "service", "state")
	unhealthy = gauge("instances_unhealthy", "Instances of a service that their checks say are unhealthy.", "service")

	commands = gauge("commands", "Commands that have not ended, by state.", "service", "method", "state")
	waiting  = gauge("commands_waiting", "Commands that wait for a worker, by priority.", "service", "method", "priority")
	oldest   = gauge("commands_oldest_age_seconds", "Time since the oldest command that is due was stored.", "service", "method")

	lag         = gauge("events_lag", "Events of a subscription that were not delivered yet.", "service", "method", "group", "aegis_instance")
	pending     = gauge("events_pending", "Events of a subscription that were delivered and not acknowledged.", "service", "method", "group", "aegis_instance")
	redelivered = gauge("events_redelivered", "Events of a subscription that were delivered more than once and not acknowledged.",
		"service", "method", "group", "aegis_instance")

	streamMessages = gauge("stream_messages", "Messages in a stream of a service.", "service", "kind", "stream")
	streamBytes    = gauge("stream_bytes", "Size of the messages in a stream of a service.", "service", "kind", "stream")
	streamMaxBytes = gauge("stream_max_bytes", "Size that a stream of a service may have; missing if there is no limit.", "service", "kind", "stream")
	streamRefuses  = gauge("stream_refuses", "1 if a stream refuses messages when it is full, 0 if it drops its oldest.", "service", "kind", "stream")

	deadLetters = gauge("dead_letters", "Dead letters of a method.", "service", "method")

	leader     = gauge("leader", "1 while a group has a leader that answers, else 0.", "service", "group")
	leaderTerm = gauge("leader_term", "Term of the last leader of a group.", "service", "group")
	gaps       = counter("leader_gaps_total", "Times without a leader that have begun since the monitor watches.", "service", "group")
	gapSeconds = counter("leader_gap_seconds_total", "Time without a leader since the monitor watches.", "service", "group")

	findings = gauge("findings", "Things that need attention, as the monitor finds, by level.", "level")

	connected   = gauge("monitor_connected", "1 while the monitor is connected to NATS, else 0.")
	sourceState = gauge("monitor_source_state", "1 for the state that a source of the monitor is in, 0 for the others.", "source", "state")
	sourceAge   = gauge("monitor_source_age_seconds", "Time since a source of the monitor was read; missing if it never was.", "source")
	openStreams = gauge("monitor_streams", "Live documents that are being followed now.")
	leftOut     = gauge("monitor_series_left_out", "Series that this scrape has not, as there are too many.")
)

var families = []*family{
	instances, unhealthy, commands, waiting, oldest, lag, pending, redelivered,
	streamMessages, streamBytes, streamMaxBytes, streamRefuses, deadLetters,
	leader, leaderTerm, gaps, gapSeconds, findings, connected, sourceState, sourceAge, openStreams, leftOut,
}
