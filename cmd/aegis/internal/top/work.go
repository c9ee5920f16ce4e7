package top

import (
	"strconv"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// workPath is the document of all durable work.
const workPath = "work"

func newQueues() page {
	return &list[monitorapi.Work]{
		at:     workPath,
		source: monitorapi.SourceWork,
		grid: newGrid(
			"Queues", "longest first", "No command was ever sent.",
			column{title: "QUEUE", width: 26, most: 50, key: "N"},
			column{title: titleState, width: 11, key: "L", number: true, drop: 5},
			column{title: "WAITING", width: 8, right: true, number: true, key: "W"},
			column{title: "RUNNING", width: 8, right: true, number: true, key: "C", drop: 2},
			column{title: "RETRYING", width: 9, right: true, number: true, key: "R", drop: 3},
			column{title: "LATER", width: 7, right: true, number: true, key: "A", drop: 6},
			column{title: "OLDEST", width: 7, right: true, number: true, key: "O", drop: 1},
			column{title: "IN/S", width: 7, right: true, number: true, key: "I", drop: 7},
			column{title: "DONE/S", width: 7, right: true, number: true, key: "D", drop: 4},
			column{title: titleHour, width: hourWidth, drop: 8},
			column{title: "NOTE", width: 16, most: 30, drop: 9},
		),
		read: func(doc *monitorapi.Work) (*monitorapi.Header, []row) {
			rows := make([]row, 0, len(doc.Queues))
			for i := range doc.Queues {
				rows = append(rows, queueRow(&doc.Queues[i], doc.At))
			}
			return &doc.Header, rows
		},
	}
}

func queueRow(q *monitorapi.Queue, now time.Time) row {
	note := none
	switch {
	case q.PausedUntil != nil:
		note = "paused until " + clock(*q.PausedUntil)
	case !q.Workers:
		note = "no worker yet"
	}
	return row{id: q.Service + "/" + q.Method, opens: q.Service, cells: []cell{
		{text: plain(q.Service + "/" + q.Method)},
		levelCell(q.Level),
		whole(q.Waiting),
		whole(q.Running),
		wrong(q.Retrying, cli.Yellow),
		whole(q.Scheduled),
		ago(q.Oldest, now),
		figure(q.AddedPerSecond, 1),
		figure(q.DonePerSecond, 1),
		hourCell(q.Hour),
		{text: note, colour: cli.Dim},
	}}
}

func newSubscriptions() page {
	return &list[monitorapi.Work]{
		at:     workPath,
		source: monitorapi.SourceWork,
		grid: newGrid(
			"Subscriptions", "greatest lag first", "Nobody has subscribed to durable events.",
			column{title: "EVENT", width: 26, most: 50, key: "N"},
			column{title: "GROUP", width: 10, most: 24, key: "O", drop: 3},
			column{title: titleState, width: 11, key: "L", number: true, drop: 5},
			column{title: "LAG", width: 9, right: true, number: true, key: "W"},
			column{title: "PENDING", width: 8, right: true, number: true, key: "C", drop: 2},
			column{title: "AGAIN", width: 7, right: true, number: true, key: "R", drop: 4},
			column{title: "DONE/S", width: 7, right: true, number: true, key: "D", drop: 1},
			column{title: "LAST ACK", width: 9, right: true, number: true, key: "A", drop: 6},
			column{title: titleHour, width: hourWidth, drop: 7},
			column{title: "NOTE", width: 16, most: 30, drop: 8},
		),
		read: func(doc *monitorapi.Work) (*monitorapi.Header, []row) {
			rows := make([]row, 0, len(doc.Subscriptions))
			for i := range doc.Subscriptions {
				rows = append(rows, subscriptionRow(&doc.Subscriptions[i], doc.At))
			}
			return &doc.Header, rows
		},
	}
}

func subscriptionRow(s *monitorapi.Subscription, now time.Time) row {
	group := s.Group
	if group == "" {
		group = s.Instance
	}
	note := none
	switch {
	case s.PausedUntil != nil:
		note = "paused until " + clock(*s.PausedUntil)
	case s.Waiting == 0:
		note = "nobody asks"
	}
	return row{id: s.Service + "/" + s.Method + "/" + s.Group + "/" + s.Instance, opens: s.Service, cells: []cell{
		{text: plain(s.Service + "/" + s.Method)},
		{text: orNone(group)},
		levelCell(s.Level),
		whole(s.Lag),
		whole(s.Pending),
		wrong(s.Redelivered, cli.Yellow),
		figure(s.DonePerSecond, 1),
		ago(s.LastAck, now),
		hourCell(s.Hour),
		{text: note, colour: cli.Dim},
	}}
}

func newLetters() page {
	return &list[monitorapi.Work]{
		at:     workPath,
		source: monitorapi.SourceDeadLetters,
		grid: newGrid(
			"Dead letters", "greatest groups first", "No dead letter.",
			column{title: "METHOD", width: 26, most: 50, key: "N"},
			column{title: "LETTERS", width: 8, right: true, number: true, key: "C"},
			column{title: "FIRST", width: 8, right: true, number: true, key: "A", drop: 3},
			column{title: "LAST", width: 8, right: true, number: true, key: "L", drop: 1},
			column{title: "OF", width: 10, most: 24, key: "O", drop: 4},
			column{title: "REASON", width: 20, most: 120, key: "R", drop: 2},
		),
		read: func(doc *monitorapi.Work) (*monitorapi.Header, []row) {
			rows := make([]row, 0, len(doc.DeadLetters))
			for i := range doc.DeadLetters {
				rows = append(rows, letterRow(&doc.DeadLetters[i], doc.At))
			}
			return &doc.Header, rows
		},
	}
}

func letterRow(l *monitorapi.LetterGroup, now time.Time) row {
	of := "command"
	if l.Consumer != "" {
		of = plain(l.Consumer)
	}
	return row{id: l.Service + "/" + l.Method + "/" + l.Consumer + "/" + l.Reason, opens: l.Service, cells: []cell{
		{text: plain(l.Service + "/" + l.Method)},
		wrong(l.Count, cli.Red),
		ago(&l.First, now),
		ago(&l.Last, now),
		{text: of, colour: cli.Dim},
		{text: orNone(l.Reason)},
	}}
}

func newActivity() page {
	return &list[monitorapi.Activity]{
		at: "activity",
		grid: newGrid(
			"Activity", "latest first", "Nothing has happened since the monitor began to watch.",
			column{title: "TIME", width: 8, number: true, key: "A"},
			column{title: "LEVEL", width: 11, key: "L", number: true, drop: 3},
			column{title: "KIND", width: 12, key: "K", drop: 2},
			column{title: titleService, width: 20, most: 40, key: "N", drop: 1},
			column{title: "INSTANCE", width: 14, most: 24, key: "I", drop: 4},
			column{title: "EVENT", width: 20, most: 200, key: "T"},
		),
		read: func(doc *monitorapi.Activity) (*monitorapi.Header, []row) {
			rows := make([]row, 0, len(doc.Events))
			for i := range doc.Events {
				rows = append(rows, eventRow(&doc.Events[i]))
			}
			return &doc.Header, rows
		},
	}
}

func eventRow(e *monitorapi.Event) row {
	return row{id: strconv.FormatUint(e.ID, 10), opens: e.Service, cells: []cell{
		{text: clock(e.At), order: float64(e.At.UnixNano()), colour: cli.Dim},
		levelCell(e.Level),
		{text: orNone(string(e.Kind))},
		{text: orNone(e.Service)},
		{text: orNone(e.Instance)},
		{text: orNone(e.Text)},
	}}
}
