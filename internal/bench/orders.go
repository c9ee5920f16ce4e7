package main

// consumeOrder asks for so many events to be published, and then handled.
type consumeOrder struct {
	Events     int `json:"events"`
	Partitions int `json:"partitions"` // 0 without a key
}

// inFlight is how many events are published without acknowledgement.
const inFlight = 1024
