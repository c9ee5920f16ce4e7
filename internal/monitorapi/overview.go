package monitorapi

import "time"

// Overview is the document at "overview".
type Overview struct {
	Header

	Totals   Totals    `json:"totals"`
	Findings []Finding `json:"findings"` // the worst first
	Services []Service `json:"services"` // the worst first
	// Leaders are the groups in order of service and group.
	Leaders []Leadership `json:"leaders"`
	Queues  []Queue      `json:"queues"` // the longest first
	// DeadLetters are groups of dead letters, the greatest first.
	DeadLetters []LetterGroup `json:"deadLetters"`
}

// Totals are those of all services.
type Totals struct {
	Services  int `json:"services"`
	Instances int `json:"instances"`
	Leaders   int `json:"leaders"`
	Figures
	// DeadLetters is null if they cannot be counted.
	DeadLetters *int `json:"deadLetters"`
	// LeaderlessSeconds is how long groups were without a leader in the last hour, all added
	// up, or since the monitor began to watch if that is less; in Gaps gaps.
	LeaderlessSeconds float64 `json:"leaderlessSeconds"`
	Gaps              int     `json:"gaps"`
	// WatchedSince is when the monitor began to watch.
	WatchedSince time.Time `json:"watchedSince"`
}

// Service is a row of the table of services.
type Service struct {
	Name  string `json:"name"`
	Level Level  `json:"level"`
	// Why is the level in words, such as "2 of 3 well".
	Why string `json:"why"`
	// Grade and Score are the worst of its instances'; "" and null if none is known.
	Grade string   `json:"grade"`
	Score *float64 `json:"score"`
	Figures
	// Instances are those that serve. Reserved ones are counted apart.
	Instances int `json:"instances"`
	Running   int `json:"running"`
	Unhealthy int `json:"unhealthy"`
	Reserved  int `json:"reserved"`
	// Versions are those of its instances, in order.
	Versions []string `json:"versions"`
	// Leaders are the groups of the service.
	Leaders []LeaderName `json:"leaders"`
	// Hour is the rate of calls of the last hour in 60 parts, the oldest first; null where it
	// is not known.
	Hour []*float64 `json:"hour"`
}

// LeaderName names the leader of a group.
type LeaderName struct {
	Group    string      `json:"group"`
	Instance string      `json:"instance"` // "" if nobody leads
	State    LeaderState `json:"state"`
}
