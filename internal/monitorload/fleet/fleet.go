// Package fleet has instances that are made up: their heartbeats and their answers to
// $SRV.STATS are as those of servers, so that a monitor takes them for such.
package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	methodsPerService = 5
	heartbeat         = 2 * time.Second // as servers have it unless they are told otherwise
	callsPerSecond    = 20              // of each instance
)

// Fleet is a number of instances that are made up.
type Fleet struct {
	nc        *nats.Conn
	services  map[string][]*instance // by the name of NATS micro
	instances []*instance
}

// instance is one of them.
type instance struct {
	record   *registry.Record
	recorder *health.Recorder
}

// New connects to NATS and registers a number of instances of a number of services.
func New(ctx context.Context, url string, instances, services int) (*Fleet, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	f := &Fleet{nc: nc, services: map[string][]*instance{}}
	kv, err := f.bucket(ctx)
	if err != nil {
		return nil, err
	}
	for i := range instances {
		one, err := newInstance(i, services)
		if err != nil {
			return nil, err
		}
		f.instances = append(f.instances, one)
		name := wire.MicroName(one.record.Service)
		f.services[name] = append(f.services[name], one)
		data, err := one.record.Encode()
		if err != nil {
			return nil, err
		}
		if _, err := kv.Put(ctx, wire.RegistryKey(one.record.Service, one.record.Instance), data); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *Fleet) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	js, err := jetstream.New(f.nc)
	if err != nil {
		return nil, err
	}
	return js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: wire.RegistryBucket(wire.DefaultNamespace)})
}

func newInstance(i, services int) (*instance, error) {
	recorder, err := health.NewRecorder(health.Config{}, time.Now())
	if err != nil {
		return nil, err
	}
	r := &registry.Record{
		Service: fmt.Sprintf("scale.v1.Service%03dService", i%services), Instance: fmt.Sprintf("host-%05d-ABCDEF", i),
		Process: fmt.Sprintf("%026d", i), Incarnation: uint64(1_700_000_000_000_000 + i), Change: 2,
		State: registry.Running, Version: "1.4.0", Started: time.Now().Add(-time.Hour), Heartbeat: heartbeat,
	}
	for m := range methodsPerService {
		r.Methods = append(r.Methods, fmt.Sprintf("Method%d", m))
	}
	return &instance{record: r, recorder: recorder}, nil
}

// Service returns the name of the service of an instance.
func (f *Fleet) Service(i int) string { return f.instances[i%len(f.instances)].record.Service }

// Run keeps the instances alive until the context ends, and closes the connection then.
func (f *Fleet) Run(ctx context.Context) error {
	if _, err := f.nc.Subscribe(micro.APIPrefix+".STATS.*", f.answer); err != nil {
		return err
	}
	const parts = 100
	var work sync.WaitGroup
	defer work.Wait()
	ticker := time.NewTicker(heartbeat / parts)
	defer ticker.Stop()
	for part := 0; ; part++ {
		select {
		case <-ctx.Done():
			f.nc.Close()
			return nil
		case <-ticker.C:
		}
		for i := part % parts; i < len(f.instances); i += parts {
			f.instances[i].work()
			if err := f.beat(f.instances[i]); err != nil {
				return err
			}
		}
	}
}

// work counts the calls of one heartbeat.
func (i *instance) work() {
	now := time.Now()
	for range callsPerSecond * int(heartbeat/time.Second) {
		m := i.recorder.Method(i.record.Methods[rand.IntN(methodsPerService)])
		m.Begin()
		code := health.Code(0)
		if rand.IntN(200) == 0 {
			code = 14
		}
		m.End(now, time.Duration(float64(3*time.Millisecond)*rand.ExpFloat64()), code)
	}
}

func (f *Fleet) beat(i *instance) error {
	report := health.Report{Snapshot: health.Snapshot{Stats: i.recorder.Stats(time.Now())}}
	report.Assessment = health.Assess(report.Stats, report.Usage, nil, health.Limits{})
	metrics, err := report.Encode()
	if err != nil {
		return err
	}
	data, err := (&registry.Beat{Record: i.record, Metrics: metrics}).Encode()
	if err != nil {
		return err
	}
	return f.nc.Publish(wire.NewSubjects(wire.DefaultNamespace).Beat(i.record.Service, i.record.Instance), data)
}

// answer answers a question for the figures of a service as all of its instances.
func (f *Fleet) answer(msg *nats.Msg) {
	for _, i := range f.services[msg.Subject[len(micro.APIPrefix+".STATS."):]] {
		data, err := json.Marshal(i.stats())
		if err == nil {
			_ = f.nc.Publish(msg.Reply, data) // fails when the fleet ends
		}
	}
}

func (i *instance) stats() micro.Stats {
	stats := micro.Stats{
		ServiceIdentity: micro.ServiceIdentity{
			Name: wire.MicroName(i.record.Service), ID: i.record.Process, Version: i.record.Version,
			Metadata: map[string]string{
				"service": i.record.Service, "namespace": wire.DefaultNamespace, "instance": i.record.Instance,
			},
		},
		Type: micro.StatsResponseType, Started: i.record.Started,
	}
	for _, m := range i.recorder.Methods() {
		report := health.Report{Snapshot: health.Snapshot{Stats: m.Stats(time.Now())}, Spread: m.Spread()}
		report.Assessment = health.Assess(report.Stats, report.Usage, nil, health.Limits{})
		data, err := report.Encode()
		if err != nil {
			continue
		}
		totals, failed := m.Totals(), uint64(0)
		for _, n := range totals.Errors {
			failed += n
		}
		stats.Endpoints = append(stats.Endpoints, &micro.EndpointStats{
			Name: m.Name(), Subject: wire.NewSubjects(wire.DefaultNamespace).Call(i.record.Service, m.Name()), QueueGroup: wire.Queue,
			NumRequests: int(totals.Requests), NumErrors: int(failed), Data: data,
		})
	}
	return stats
}
