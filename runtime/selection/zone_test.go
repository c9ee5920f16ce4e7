package selection

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// inZone is the running instance of a number in a zone, which it has in its name.
func inZone(zone string, i int) Info {
	return Info{ID: fmt.Sprintf("%s-%02d", zone, i), Process: "p1", State: StateRunning, Zone: zone}
}

// zoned returns a fixture with instances in two zones, and a picker for callers in the first.
func zoned(seed uint64, near, far int) (*fixture, *Picker) {
	f := newFixture(seed)
	for i := range near {
		f.Put(inZone("a", i))
	}
	for i := range far {
		f.Put(inZone("b", i))
	}
	return f, f.Picker(PreferZone("a"))
}

func TestCallsStayInTheZone(t *testing.T) {
	for near := 1; near <= 3; near++ {
		_, p := zoned(uint64(near), near, 5)
		counts := map[string]int{}
		for range 300 {
			counts[call(t, p, Call{})]++
		}
		require.Len(t, counts, near)
		for id := range counts {
			require.True(t, strings.HasPrefix(id, "a-"), id)
		}
	}
}

func TestCallsLeaveAZoneThatCannotTakeThem(t *testing.T) {
	for name, spoil := range map[string]func(f *fixture, p *Picker){
		"nobody is there": func(f *fixture, _ *Picker) { f.Remove("a-00") },
		"unhealthy":       func(f *fixture, _ *Picker) { f.Beat("a-00", Beat{Unhealthy: true}) },
		"stopping":        func(f *fixture, _ *Picker) { f.Put(Info{ID: "a-00", Process: "p1", State: StateStopping}) },
		"full by its heartbeat": func(f *fixture, _ *Picker) {
			f.Beat("a-00", Beat{Load: Load{InFlight: 4, Capacity: 4}})
		},
		"full by calls of this process": func(f *fixture, p *Picker) {
			f.Beat("a-00", Beat{Load: Load{Capacity: 2}})
			for range 2 {
				_, err := p.Pick(Call{})
				require.NoError(t, err)
			}
		},
		"it has refused a call": func(_ *fixture, p *Picker) {
			i, err := p.Pick(Call{})
			require.NoError(t, err)
			p.Finish(i, Outcome{Failure: FailureOverloaded})
		},
		"nobody listens": func(_ *fixture, p *Picker) {
			i, err := p.Pick(Call{})
			require.NoError(t, err)
			p.Finish(i, Outcome{Failure: FailureNoResponders})
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, p := zoned(1, 1, 3)
			require.Equal(t, "a-00", call(t, p, Call{}))
			spoil(f, p)
			for range 20 {
				require.True(t, strings.HasPrefix(call(t, p, Call{}), "b-"))
			}
		})
	}
}

func TestAZoneThatHasRefusedIsTriedAgainSoon(t *testing.T) {
	f, p := zoned(1, 1, 1)
	i, err := p.Pick(Call{})
	require.NoError(t, err)
	p.Finish(i, Outcome{Failure: FailureOverloaded})
	f.clock.move(fullFor - time.Millisecond)
	require.Equal(t, "b-00", call(t, p, Call{}))
	f.clock.move(time.Millisecond)
	require.Equal(t, "a-00", call(t, p, Call{}))
}

func TestACallThatWasTriedInTheZoneLeavesIt(t *testing.T) {
	_, p := zoned(1, 1, 1)
	var tried Tried
	i, err := p.Pick(Call{})
	require.NoError(t, err)
	tried.Add(i)
	require.Equal(t, "b-00", call(t, p, Call{Tried: &tried}))
}

func TestWhereAllAreFullAnyIsPicked(t *testing.T) {
	f, p := zoned(1, 2, 2)
	for _, id := range f.ids() {
		f.Beat(id, Beat{Load: Load{InFlight: 3, Capacity: 3}})
	}
	for range 20 {
		call(t, p, Call{})
	}
}

// Whatever has happened before: as long as an instance of the zone can be used and has
// room, the call stays there; it goes to one without room only where there is no other.
func TestAZoneWithRoomIsNeverLeft(t *testing.T) {
	stayed, left := 0, 0
	for seed := range uint64(200) {
		f, p := zoned(seed, 1+int(seed%4), 1+int(seed%3))
		var open []*Instance
		all := f.ids()
		for range 200 {
			id := all[f.rng.IntN(len(all))]
			switch f.rng.IntN(5) {
			case 0:
				f.Beat(id, Beat{Unhealthy: f.rng.IntN(4) == 0, Load: Load{InFlight: f.rng.IntN(6), Capacity: 1 + f.rng.IntN(5)}})
			case 1:
				f.clock.move(time.Duration(f.rng.IntN(60)) * time.Millisecond)
			case 2:
				if len(open) > 0 {
					p.Finish(open[0], Outcome{Failure: []Failure{FailureNone, FailureOverloaded, FailureNoResponders}[f.rng.IntN(3)]})
					open = open[1:]
				}
			default:
				rooms := map[bool]bool{} // whether there is room: in the zone, elsewhere
				for _, i := range f.Candidates() {
					rooms[i.Zone() == "a"] = rooms[i.Zone() == "a"] || !i.full(f.clock.read())
				}
				now := f.clock.read()
				full := func(i *Instance) bool { i.outstanding.Add(-1); defer i.outstanding.Add(1); return i.full(now) }
				i, err := p.Pick(Call{})
				if err != nil {
					require.ErrorIs(t, err, ErrNoInstance)
					continue
				}
				open = append(open, i)
				switch {
				case rooms[true]:
					stayed++
					require.Equal(t, "a", i.Zone())
					require.False(t, full(i))
				case rooms[false]:
					left++
					require.Equal(t, "b", i.Zone())
					require.False(t, full(i))
				}
			}
		}
	}
	require.Greater(t, stayed, 1000)
	require.Greater(t, left, 1000)
}

func TestReservedInstancesArePickedOnlyByChoice(t *testing.T) {
	f := newFixture(1)
	f.Put(running(0))
	f.Put(Info{ID: "mine", Process: "p1", State: StateRunning, Reserved: true, Labels: map[string]string{"developer": "anna"}})
	for name, s := range strategies() {
		p := f.Picker(s)
		for range 50 {
			require.Equal(t, name0, call(t, p, Call{Key: "k"}), name)
		}
	}
	for name, s := range strategies() {
		p := f.Picker(Where("developer", "anna", s))
		require.Equal(t, "mine", call(t, p, Call{Key: "k"}), name)
	}
	require.Equal(t, "mine", call(t, f.Picker(Where("developer", "anna", nil)), Call{}))
	_, err := f.Picker(Where("developer", "bob", nil)).Pick(Call{})
	require.ErrorIs(t, err, ErrNoInstance)
	f.Remove(name0)
	_, err = f.Picker(RoundRobin()).Pick(Call{})
	require.ErrorIs(t, err, ErrNoInstance, "nobody else is there")
}

var name0 = name(0)
