package board_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
)

// busy returns a board with some of everything, and the time of its last Tick.
func busy(t testing.TB) (*board.Board, time.Time) {
	t.Helper()
	b := connected(t)
	bad := good()
	bad.Unhealthy = true
	list := []aegis.Instance{
		running(orders, "order-1", good()), running(orders, "order-2", slow()), running(orders, "order-3", bad),
		running("risk.v1.RiskService", "risk-1", nil),
	}
	list[0].Leading = []aegis.Term{{Service: orders, Group: "default", Token: 7, Since: start.Add(-time.Minute)}}
	subscriber := running(orders, "risk-1", good())
	subscriber.Subscriber = true
	list = append(list, subscriber)
	b.Described(orders, &board.Description{Text: "orders", Methods: []board.MethodDescription{{Name: "Place", Pattern: "load_balanced"}}})
	for s := range 20 {
		now := at(float64(s))
		b.Instances(now, list)
		if s == 0 {
			b.Described(orders, &board.Description{Text: "orders", Methods: []board.MethodDescription{{Name: "Place"}, {Name: "Watch", Group: "default"}}})
		}
		for i := range 3 {
			b.Stats(now, stats(fmt.Sprintf("order-%d", i+1), "Place", uint64(100*s), uint64(s)))
		}
		b.LeaderRecords(now, []aegisadmin.Leadership{
			{
				Service: orders, Group: "default", Instance: "order-1", Process: "process of order-1", Term: 7, Lease: 3 * time.Second,
				Candidates: []aegisadmin.Candidate{{Instance: "order-2", Stands: true}, {Instance: "order-1", Leads: true}},
			},
			{Service: orders, Group: "empty"},
		})
		b.ServiceWork(now, orders, someWork(uint64(s)))
		b.DeadLetters(now, orders, []aegisadmin.LetterGroup{{
			Service: orders, Method: "Reconcile", Reason: "book # is closed", Example: "book 7 is closed", Count: 3 + s, First: start, Last: now, LastSequence: 9,
		}})
		b.Tick(now)
	}
	b.Gone(at(20), "process of order-1")
	b.InstanceChanged(at(20), change(aegis.InstanceExpired, list[0]))
	b.Tick(at(21))
	return b, at(21)
}

func someWork(n uint64) *board.ServiceWork {
	return &board.ServiceWork{
		Commands: []aegisadmin.CommandMethod{{
			Service: orders, Method: "Reconcile", Waiting: int(n), UnderWay: 5, Redelivered: 2, Workers: true, Oldest: start,
			Levels: []aegisadmin.CommandLevel{{Priority: "high", Waiting: int(n), UnderWay: 5}},
		}},
		Work: []aegisadmin.Work{
			{Service: orders, Method: "Reconcile", Consumers: []aegisadmin.Consumer{{Name: "w", Deliveries: 10 * n, UnderWay: 5, Requests: 1}}},
			{Service: orders, Method: "Placed", Group: "risk", Consumers: []aegisadmin.Consumer{{Name: "g", Pending: n, Deliveries: 20 * n, LastAck: start}}},
		},
		Streams: []aegisadmin.Stream{
			{Service: orders, Kind: "events", Name: "aegis-events", Bytes: 90, MaxBytes: 100, Refuses: true, Replicas: 3, Behind: []string{"n2"}},
			{Service: orders, Kind: "commands", Name: "aegis-commands", LastSequence: 100 + 30*n, Replicas: 1},
		},
	}
}

// spoil writes to all that documents refer to.
func spoil(docs ...any) {
	for _, doc := range docs {
		spoilValue(reflect.ValueOf(doc))
	}
}

func spoilValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			spoilValue(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				spoilValue(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			spoilValue(v.Index(i))
		}
	case reflect.Map:
		v.Clear()
	case reflect.String:
		v.SetString("spoiled")
	case reflect.Float64:
		v.SetFloat(-1)
	case reflect.Int, reflect.Int64:
		v.SetInt(-1)
	case reflect.Uint64:
		v.SetUint(99)
	default:
	}
}
