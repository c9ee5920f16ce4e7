package aegis

// State is a stage in the life of a server. It only ever moves forward.
type State int32

// The states of a server, in order.
const (
	// StateInit: the server is made, and not running yet. Services can be registered.
	StateInit State = iota
	// StateStarting: Run subscribes to the subjects of the services.
	StateStarting
	// StateRunning: calls are served.
	StateRunning
	// StateStopping: no new calls are taken; handlers that run are finished.
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
