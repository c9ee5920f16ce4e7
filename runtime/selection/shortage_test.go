package selection

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// labelledInfo is a running instance with labels.
func labelledInfo(id string, labels map[string]string) Info {
	return Info{ID: id, Process: "p1", State: StateRunning, Labels: labels}
}

func TestAShortageNamesWhatIsWantedAndWhatIsThere(t *testing.T) {
	f := newFixture(1)
	f.Put(labelledInfo("blue", map[string]string{"version": "blue", "tier": "gold"}))
	f.Put(labelledInfo("green", map[string]string{"version": "green"}))
	f.Put(labelledInfo("plain", nil))
	for name, c := range map[string]struct {
		picker *Picker
		want   string
	}{
		"a value that none has": {
			f.Picker(Where("version", "red", nil)),
			"none has the label version=red, runs, is healthy and answers (blue has version=blue; green has version=green; plain has no label version)",
		},
		"two labels that none has both of": {
			f.Picker(Where("version", "green", Where("tier", "gold", nil))),
			"none has the label tier=gold and the label version=green, runs, is healthy and answers " +
				"(blue has version=blue; green has no label tier; plain has no label version)",
		},
		"a method": {
			f.MethodPicker("Do", Where("version", "red", Sticky())),
			"none has the label version=red, runs, is healthy, answers and has the method Do " +
				"(blue has version=blue; green has version=green; plain has no label version)",
		},
	} {
		_, err := c.picker.Pick(Call{})
		require.ErrorIs(t, err, ErrNoInstance, name)
		require.Equal(t, c.want, c.picker.Shortage(), name)
	}
}

func TestAShortageSaysWhatKeepsInstancesFromBeingPicked(t *testing.T) {
	f := newFixture(1)
	require.Equal(t, "none runs, is healthy and answers", f.Picker(nil).Shortage(), "there are no instances")
	mine := labelledInfo("z-mine", map[string]string{"developer": "anna"})
	mine.Reserved, mine.Unhealthy = true, true
	stopping, lacking := running(1), running(2)
	stopping.State, lacking.Methods = StateStopping, []string{"Get"}
	reserved := labelledInfo("reserved", nil)
	reserved.Reserved = true
	for _, info := range []Info{mine, stopping, lacking, reserved, {ID: "starting"}} {
		f.Put(info)
	}
	f.Put(labelledInfo("dead", nil))
	p := f.MethodPicker("Do", RoundRobin())
	i, err := p.Pick(Call{})
	require.NoError(t, err)
	p.Finish(i, Outcome{Latency: time.Millisecond, Failure: FailureNoResponders})
	_, err = p.Pick(Call{})
	require.ErrorIs(t, err, ErrNoInstance)
	require.Equal(t, "none runs, is healthy, answers and has the method Do (dead does not answer; instance-00001 is STOPPING; "+
		"instance-00002 lacks the method; starting is STARTING; reserved is reserved; 1 more)", p.Shortage())

	p = f.MethodPicker("Do", Where("developer", "anna", nil))
	require.Contains(t, p.Shortage(), "(z-mine is unhealthy; dead has no label developer;", "the instance that has the label comes first")
}

// choosing is a strategy whose Chooses is a function.
type choosing struct {
	Strategy
	chooses func(*Instance) bool
}

func (c choosing) Chooses(i *Instance) bool { return c.chooses(i) }

func TestAStrategyThatPanicsAsItChoosesHarmsItsCallsAlone(t *testing.T) {
	f := newFixture(1)
	f.fill(2)
	_, err := f.Picker(choosing{RoundRobin(), func(*Instance) bool { panic("choosy") }}).Pick(Call{})
	require.ErrorIs(t, err, ErrStrategy)
	require.ErrorContains(t, err, "choosy")
	require.Len(t, f.faults, 1)

	p := f.Picker(choosing{RoundRobin(), func(*Instance) bool { return false }})
	_, err = p.Pick(Call{})
	require.ErrorIs(t, err, ErrNoInstance)
	require.Contains(t, p.Shortage(), "instance-00000 is not chosen")
}

// A call that every instance has refused which it may go to has nowhere else to go, even if
// a reserved instance is there.
func TestReservedInstancesAreNoCandidatesOfOthers(t *testing.T) {
	f := newFixture(1)
	f.fill(2)
	reserved := labelledInfo("reserved", map[string]string{"a": "b"})
	reserved.Reserved = true
	f.Put(reserved)
	require.Equal(t, 2, f.Picker(nil).Candidates())
	require.Equal(t, 1, f.Picker(Where("a", "b", nil)).Candidates())
	require.Equal(t, 0, f.Picker(Where("a", "c", nil)).Candidates())
}
