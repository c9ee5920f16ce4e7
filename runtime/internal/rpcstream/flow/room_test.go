package flow

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRoomFollowsTheLink(t *testing.T) {
	t.Parallel()
	room := Room(FirstRoom)
	room.Answered(time.Millisecond, false)
	require.EqualValues(t, FirstRoom, room, "it was not in use")
	for range 20 {
		room.Answered(time.Millisecond, true)
	}
	require.EqualValues(t, MostRoom, room)
	room.Answered(300*time.Millisecond, true)
	require.EqualValues(t, MostRoom, room, "neither quick nor slow")
	for range 20 {
		room.Answered(SlowAnswer, false)
	}
	require.EqualValues(t, LeastRoom, room)
}

func TestSharesOfAllStreamsFitIntoTheRoom(t *testing.T) {
	t.Parallel()
	for range 1000 {
		room := Room(LeastRoom + rand.Uint64N(MostRoom-LeastRoom))
		streams, wanted := rand.IntN(2000), 1+rand.Uint64N(1<<30)
		share := room.Share(streams, wanted)
		require.LessOrEqual(t, share, wanted)
		require.GreaterOrEqual(t, share, min(wanted, LeastShare))
		require.LessOrEqual(t, share*uint64(streams), max(uint64(room), uint64(streams)*LeastShare))
	}
}

// A link of any rate comes to carry what is under way in about a second.
func TestRoomComesToWhatALinkCarriesInASecond(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{150e3, 1e6, 4e6, 20e6} { // bytes a second
		room := Room(FirstRoom)
		for range 50 {
			room.Answered(time.Duration(float64(room)/rate*float64(time.Second)), true)
		}
		require.LessOrEqual(t, float64(room), max(rate, LeastRoom), "at %v bytes a second", rate)
		require.GreaterOrEqual(t, float64(room), min(rate/10, MostRoom), "at %v bytes a second", rate)
	}
}
