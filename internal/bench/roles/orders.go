package roles

// ConsumeOrder asks for so many events to be published, and then handled.
type ConsumeOrder struct {
	Events     int `json:"events"`
	Partitions int `json:"partitions"` // 0 without a key
}

// InFlight is how many events are published without acknowledgement.
const InFlight = 1024
