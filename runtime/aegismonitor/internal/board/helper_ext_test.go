package board_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
	"github.com/aegisrpc/aegis/runtime/health"
)

const orders = "order.v1.OrderService"

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

// connected returns a board with a connection, all of whose sources are read.
func connected(t testing.TB) *board.Board {
	t.Helper()
	b := board.New(board.Config{Namespace: "test"}, start)
	b.Connected(start, board.Server{Name: "n1", Version: "2.15.2", JetStream: true})
	for _, name := range sources {
		b.Source(start, name, monitorapi.SourceReady, "")
	}
	return b
}

var sources = []monitorapi.SourceName{
	monitorapi.SourceInstances, monitorapi.SourceFigures, monitorapi.SourceLeaders, monitorapi.SourceWork, monitorapi.SourceDeadLetters,
}

// running is an instance that runs, with the report of its last heartbeat.
func running(service, name string, report *health.Report) aegis.Instance {
	i := aegis.Instance{
		Service: service, Name: name, Process: "process of " + name, Version: "1.0", State: aegis.StateRunning, Started: start.Add(-time.Hour),
	}
	heard(&i, report)
	return i
}

// heard gives an instance a report, as a heartbeat does.
func heard(i *aegis.Instance, report *health.Report) {
	if report == nil {
		return
	}
	data, err := json.Marshal(report)
	if err != nil {
		panic(err)
	}
	i.Heard = at(1)
	field := reflect.ValueOf(i).Elem().FieldByName("metrics")
	*(*json.RawMessage)(unsafe.Pointer(field.UnsafeAddr())) = data
}

// good is the report of an instance that is well.
func good() *health.Report {
	cpu := 12.5
	return &health.Report{
		Snapshot: health.Snapshot{Stats: health.Stats{
			Requests: 600, PerMinute: 600, InFlight: 2, Errors: map[health.Code]uint64{5: 6}, Refused: map[string]uint64{"OVERLOADED": 3},
			Latency: &health.Latency{
				Min: time.Millisecond, P50: 2 * time.Millisecond, P90: 3 * time.Millisecond, P99: 4 * time.Millisecond, Max: 5 * time.Millisecond, Mean: 2 * time.Millisecond,
			},
		}},
		Assessment: health.Assessment{Score: 100, Grade: health.GradeAPlus, Usage: health.Usage{CPUPercent: &cpu, MemoryBytes: 50_000_000}},
	}
}

// slow is the report of an instance of grade D.
func slow() *health.Report {
	r := good()
	r.Grade, r.Score = health.GradeD, 80
	r.Latency = &health.Latency{
		Min: time.Millisecond, P50: 200 * time.Millisecond, P90: 400 * time.Millisecond, P99: 900 * time.Millisecond, Max: time.Second, Mean: 300 * time.Millisecond,
	}
	return r
}

func change(kind aegis.InstanceChangeKind, i aegis.Instance) aegis.InstanceChange {
	return aegis.InstanceChange{Kind: kind, Instance: i}
}

func leader(name string, term uint64) reigns.Leader {
	return reigns.Leader{Instance: name, Process: "process of " + name, Term: term}
}

// stats are those of an instance that has had so many requests of one method, of 2 ms each.
func stats(name, method string, requests, errors uint64) *board.Stats {
	return &board.Stats{Service: orders, Instance: name, Process: "process of " + name, Methods: []board.MethodStats{{
		Method: method, Counts: figures.Counts{Requests: requests, Errors: errors, InFlight: 1, Spread: health.Spread{40: requests}},
		Codes: map[health.Code]uint64{5: errors},
	}}}
}

// tickUntil ticks each second until a time.
func tickUntil(b *board.Board, from, to float64) {
	for s := from; s <= to; s++ {
		b.Tick(at(s))
	}
}

func findingWhats(list []monitorapi.Finding) []string {
	whats := []string{}
	for _, f := range list {
		whats = append(whats, f.What)
	}
	return whats
}

func kindsOf(list []monitorapi.Event) []monitorapi.EventKind {
	kinds := []monitorapi.EventKind{}
	for _, e := range list {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// encoded returns the JSON of each document, and fails for a list that is null: only
// pointers, which are figures that are not known, may be.
func encoded(t testing.TB, b *board.Board, now time.Time) map[string]string {
	t.Helper()
	docs := map[string]any{
		"overview": b.Overview(now), "service": b.Service(now, orders), "none": b.Service(now, "none"), "leaders": b.Leaders(now),
		"work": b.Work(now), "activity": b.Activity(now), "header": b.Header(now), "search": b.Search("o"), "nothing": b.Search(""),
	}
	for _, what := range [][2]string{{}, {"Place", ""}, {"", "order-1"}} {
		if h, ok := b.History(now, now.Add(-time.Hour), orders, what[0], what[1]); ok {
			docs["history"+strings.Join(what[:], "/")] = h
		}
	}
	texts := map[string]string{}
	for name, doc := range docs {
		noNull(t, name, reflect.ValueOf(doc))
		data, err := json.Marshal(doc)
		require.NoError(t, err, name)
		texts[name] = string(data)
	}
	return texts
}

func noNull(t testing.TB, path string, v reflect.Value) { //nolint:thelper // it is called thousands of times
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			noNull(t, path, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				noNull(t, path+"."+f.Name, v.Field(i))
			}
		}
	case reflect.Slice, reflect.Map:
		if v.IsNil() {
			require.Fail(t, path+" is null")
		}
		if v.Kind() == reflect.Slice {
			for i := range v.Len() {
				noNull(t, path+"[]", v.Index(i))
			}
		}
	default:
	}
}
