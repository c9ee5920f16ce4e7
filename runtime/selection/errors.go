package selection

import "errors"

var (
	// ErrNoInstance is returned by [Picker.Pick] when no instance is running,
	// healthy, believed to be alive and, for [Set.MethodPicker], has the method.
	ErrNoInstance = errors.New("selection: no instance can take a call")
	// ErrAllTried is returned by [Picker.Pick] when the call was tried on every
	// instance that could take it.
	ErrAllTried = errors.New("selection: every instance that can take a call was tried")
	// ErrDeclined is returned by [Picker.Pick] when the strategy picked no instance although
	// there are candidates.
	ErrDeclined = errors.New("selection: the strategy picked nobody")
	// ErrStrategy is wrapped by the error of [Picker.Pick] when the strategy panicked, or
	// picked a position that is not in the view.
	ErrStrategy = errors.New("selection: the strategy failed")
)
