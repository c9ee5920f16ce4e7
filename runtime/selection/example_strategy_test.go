package selection_test

import (
	"fmt"
	"strings"

	"github.com/aegisrpc/aegis/runtime/selection"
)

// A strategy of one's own can be a function: here, the first instance of one
// zone, and nobody if that has none.
func ExampleStrategyFunc() {
	nearby := selection.StrategyFunc(func(view *selection.View, call selection.Call) int {
		for i := range view.Len() {
			if instance := view.At(i); strings.HasPrefix(instance.ID(), "west-") && call.Usable(instance) {
				return i
			}
		}
		return selection.None
	})

	set := selection.NewSet(selection.Config{})
	for _, id := range []string{"east-1", "west-1", "west-2"} {
		set.Put(selection.Info{ID: id, State: selection.StateRunning})
	}
	picker := set.Picker(nearby)

	var tried selection.Tried
	for range 3 {
		instance, err := picker.Pick(selection.Call{Tried: &tried})
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(instance.ID(), "does not answer")
		tried.Add(instance)
		picker.Finish(instance, selection.Outcome{Failure: selection.FailureNoResponders})
	}
	// Output:
	// west-1 does not answer
	// west-2 does not answer
	// selection: the strategy picked nobody
}
