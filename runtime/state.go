package aegis

// State is where a server is in its life. It only ever moves forward.
type State int32

// The states of a server, in order.
const (
	// StateInit: made, and not running yet. Services can be registered.
	StateInit State = iota
	// StateStarting: Run subscribes to what the services need.
	StateStarting
	// StateRunning: calls are served.
	StateRunning
	// StateStopping: no new calls come; those that run are finished.
	StateStopping
	// StateStopped: Run is about to return.
	StateStopped
)

// String returns the state's name in capitals, such as "RUNNING".
func (s State) String() string {
	switch s {
	case StateInit:
		return "INIT"
	case StateStarting:
		return "STARTING"
	case StateRunning:
		return "RUNNING"
	case StateStopping:
		return "STOPPING"
	case StateStopped:
		return "STOPPED"
	default:
		return "UNKNOWN"
	}
}
