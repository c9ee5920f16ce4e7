package registry

// State is where an instance is in its life, as records spell it.
type State string

// The states that are registered, in order.
const (
	// Starting: it subscribes to what its services need.
	Starting State = "STARTING"
	// Running: it serves calls.
	Running State = "RUNNING"
	// Stopping: it takes no new calls.
	Stopping State = "STOPPING"
	// Stopped: only ever in an instance's last heartbeat.
	Stopped State = "STOPPED"
)

func (s State) valid() bool {
	switch s {
	case Starting, Running, Stopping, Stopped:
		return true
	default:
		return false
	}
}
