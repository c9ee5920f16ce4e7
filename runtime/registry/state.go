package registry

// State is a stage of an instance's life, as records spell it.
type State string

// The states that are registered, in order.
const (
	// Starting says that the instance subscribes to the subjects of its services.
	Starting State = "STARTING"
	// Running says that it serves calls.
	Running State = "RUNNING"
	// Stopping says that it takes no new calls.
	Stopping State = "STOPPING"
	// Stopped says that it has stopped. Only its last heartbeat has this state.
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
