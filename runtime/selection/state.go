package selection

// State is where an instance is in its life, as far as picks are concerned.
type State uint8

const (
	// StateStarting is that of one that does not serve yet. The zero State.
	StateStarting State = iota
	// StateRunning is that of one that serves.
	StateRunning
	// StateStopping is that of one that finishes what it has, and takes nothing
	// new.
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
