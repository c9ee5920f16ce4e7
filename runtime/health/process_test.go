package health

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type fakeProcess struct {
	cpu    time.Duration
	memory uint64
	err    error
}

func (p *fakeProcess) CPUTime() (time.Duration, error) { return p.cpu, p.err }

func (p *fakeProcess) Memory() (uint64, error) { return p.memory, p.err }

func TestMeterMeasuresBetweenSamples(t *testing.T) {
	p := &fakeProcess{cpu: time.Hour, memory: 1000}
	m := NewMeter(p, 2)
	first := m.Sample(start)
	require.Nil(t, first.CPUPercent, "nothing to compare with")
	require.Equal(t, uint64(1000), first.MemoryBytes)

	p.cpu += time.Second
	require.Equal(t, first, m.Sample(start.Add(minSample-1)), "too soon")
	second := m.Sample(start.Add(time.Second))
	require.InDelta(t, 50, *second.CPUPercent, 1e-9, "one of two CPUs")
	p.cpu += time.Minute
	require.InDelta(t, 100, *m.Sample(start.Add(2 * time.Second)).CPUPercent, 0)
	p.cpu = 0
	require.InDelta(t, 0, *m.Sample(start.Add(3 * time.Second)).CPUPercent, 0)

	p.err = errors.New("gone")
	require.Equal(t, Usage{}, m.Sample(start.Add(4*time.Second)), "unknown, so not counted")
	p.err = nil
	require.Nil(t, m.Sample(start.Add(5*time.Second)).CPUPercent)
	require.NotNil(t, m.Sample(start.Add(6*time.Second)).CPUPercent)
	require.InDelta(t, 1, NewMeter(p, 0).cpus, 0)
}
