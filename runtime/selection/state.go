package selection

// State is a stage of an instance's life.
type State uint8

const (
	// StateStarting is the state of an instance that does not serve yet. It is the zero State.
	StateStarting State = iota
	// StateRunning is the state of an instance that serves.
	StateRunning
	// StateStopping is the state of an instance that finishes its calls, and takes no new
	// ones.
	StateStopping
)

// String returns the state's name, such as "RUNNING".
func (s State) String() string {
	switch s {
	case StateStarting:
		return "STARTING"
	case StateRunning:
		return "RUNNING"
	case StateStopping:
		return "STOPPING"
	default:
		return "UNKNOWN"
	}
}
