package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
)

func checkStreams() Check {
	return Check{
		Name: "streams", Looks: "the streams of each service: whether the runtime can use them, what they lack, and how full they are",
		Reads: "`$JS.API.STREAM.LIST`, or `STREAM.INFO` of the streams of --service",
		IDs:   words("ready none unusable lacks differs full unread"),
		run: func(ctx context.Context, l *look) []Finding {
			streams, err := l.streams(ctx)
			if err != nil {
				return []Finding{unread("streams.unread", "", "the streams", err)}
			}
			return judgeStreams(l.subjects, streams)
		},
	}
}

func judgeStreams(subjects wire.Subjects, streams []*stream) []Finding {
	var found []Finding
	fine, services := 0, map[string]bool{}
	for _, s := range streams {
		if s.kind == kindNone {
			continue
		}
		services[s.service] = true
		w := want(subjects, s.kind, s.service)
		if s.kind == kindEvents {
			w = wantEvents(subjects, s.service, s.Config.Metadata)
		}
		about := judgeStream(&w, &s.StreamInfo, s.kind)
		if len(about) == 0 {
			fine++
		}
		found = append(found, about...)
	}
	switch {
	case len(services) == 0:
		found = append(found, info("streams.none", "", "no service has a stream here: none has durable events or commands, or none has used them yet"))
	case fine > 0:
		found = append(found, ok("streams.ready", "", "%s of %s as they should be", count(uint64(fine), "stream", "streams"),
			count(uint64(len(services)), "service", "services")))
	}
	return found
}

// judgeStream compares a stream with what the runtime asks of it.
func judgeStream(w *wanted, info *jetstream.StreamInfo, kind streamKind) []Finding {
	c := &info.Config
	if f := unusable(w, c, kind); len(f) > 0 {
		return f
	}
	found := append(lacking(w, c, kind), differing(w, c, kind)...)
	if most := c.MaxBytes; most > 0 && c.Discard == jetstream.DiscardNew && info.State.Bytes*100 >= uint64(most)*nearlyFull {
		found = append(found, warning("streams.full", c.Name, "%s of its %s are used; what exceeds that is refused (RESOURCE_EXHAUSTED)",
			size(info.State.Bytes), size(most)).so("nats stream edit %s --max-bytes=...", c.Name))
	}
	return found
}

// unusable returns why the runtime refuses a stream: it would lose or disorder messages,
// or does not take them.
func unusable(w *wanted, c *jetstream.StreamConfig, kind streamKind) []Finding {
	bad := func(remedy, format string, args ...any) []Finding {
		return []Finding{failure("streams.unusable", c.Name, "the runtime refuses it: "+format, args...).so("%s", remedy)}
	}
	anew := fmt.Sprintf("stop those who send, let what is in it be handled, then remove it (nats stream rm %s): it is made anew", c.Name)
	switch {
	case c.Mirror != nil:
		return bad(anew, "it is a mirror")
	case c.Sealed:
		return bad(anew, "it is sealed, and takes no messages")
	case c.Retention != w.retention:
		return bad(anew, "its retention is %v, and %v is needed", c.Retention, w.retention)
	case c.Storage != jetstream.FileStorage:
		return bad(anew, "its storage is %v, and file is needed", c.Storage)
	}
	for _, subject := range w.subjects {
		if !slices.ContainsFunc(c.Subjects, func(filter string) bool { return wire.Covers(filter, subject) }) {
			return bad(fmt.Sprintf("nats stream edit %s --subjects %q", c.Name, strings.Join(w.subjects, ",")), "it does not take %s", subject)
		}
	}
	if kind != kindCommands {
		return nil
	}
	var flags []string
	if c.MaxAge > 0 {
		flags = append(flags, "--max-age=0")
	}
	if c.Discard == jetstream.DiscardOld && c.MaxBytes > 0 {
		flags = append(flags, "--max-bytes=-1")
	}
	if c.Discard == jetstream.DiscardOld && c.MaxMsgs > 0 {
		flags = append(flags, "--max-msgs=-1")
	}
	if len(flags) > 0 {
		return bad("nats stream edit "+c.Name+" "+strings.Join(flags, " "), "it drops commands that nobody has worked")
	}
	return nil
}

// lacking returns the features that a stream does not have and that the runtime needs.
func lacking(w *wanted, c *jetstream.StreamConfig, kind streamKind) []Finding {
	var names, flags []string
	if w.ttl && !c.AllowMsgTTL {
		names, flags = append(names, "allow_msg_ttl"), append(flags, "--allow-msg-ttl")
	}
	if w.direct && !c.AllowDirect {
		names, flags = append(names, "allow_direct"), append(flags, "--allow-direct")
	}
	sized := kind == kindCommands && c.MaxBytes > 0 && c.Discard == jetstream.DiscardNew
	if w.schedules && !c.AllowMsgSchedules && !sized {
		names, flags = append(names, "allow_msg_schedules"), append(flags, "--allow-schedules")
	}
	if len(names) == 0 {
		return nil
	}
	return []Finding{failure("streams.lacks", c.Name,
		"it does not allow %s, which the runtime needs; a program that may change streams does so when it next uses it",
		strings.Join(names, " and ")).so("nats stream edit %s %s", c.Name, strings.Join(flags, " "))}
}

// differing returns the settings that differ from those that the runtime gives a stream,
// and stay.
func differing(w *wanted, c *jetstream.StreamConfig, kind streamKind) []Finding {
	var found []Finding
	differ := func(setting, remedy, format string, args ...any) {
		found = append(found, warning("streams.differs", c.Name+" "+setting, format, args...).so("%s", remedy))
	}
	if discardNew := w.discard == jetstream.DiscardNew; discardNew && c.Discard != jetstream.DiscardNew && kind != kindCommands {
		differ("discard", "nats stream edit "+c.Name+" --discard=new",
			"when it is full it drops its oldest messages in silence, and should refuse new ones")
	}
	if w.onePerSubject && c.MaxMsgsPerSubject != 1 {
		differ("max_msgs_per_subject", "nats stream edit "+c.Name+" --max-msgs-per-subject=1",
			"it keeps %d messages of each subject in place of 1", c.MaxMsgsPerSubject)
	}
	if !w.onePerSubject && c.MaxMsgsPerSubject > 0 {
		differ("max_msgs_per_subject", "nats stream edit "+c.Name+" --max-msgs-per-subject=-1",
			"it keeps %d messages of each subject, and should keep all", c.MaxMsgsPerSubject)
	}
	if c.MaxMsgs > 0 {
		differ("max_msgs", "nats stream edit "+c.Name+" --max-msgs=-1", "it takes %d messages at most, whatever their size", c.MaxMsgs)
	}
	return found
}
