package monitorapi

import "time"

// ServiceDetail is the document at "services/{service}".
type ServiceDetail struct {
	Header

	Service     Service `json:"service"`
	Description string  `json:"description"` // the comment of the service in its proto; "" if it is not known
	// Found: the service has an instance, or had one within the hour. Else it may be misspelled.
	Found     bool         `json:"found"`
	Findings  []Finding    `json:"findings"`
	Instances []Instance   `json:"instances"` // in order of the names
	Methods   []Method     `json:"methods"`   // in order of the names
	Leaders   []Leadership `json:"leaders"`
	Queues    []Queue      `json:"queues"`
}

// Instance is one instance of a service.
type Instance struct {
	Service string `json:"service"`
	Name    string `json:"name"`
	Process string `json:"process"`
	Version string `json:"version"`
	State   string `json:"state"` // STARTING, RUNNING or STOPPING
	Level   Level  `json:"level"`
	// Started is when its process started, by its own clock, and Heard when the last
	// heartbeat came; null if none did.
	Started time.Time  `json:"started"`
	Heard   *time.Time `json:"heard"`
	// Subscriber: it subscribes to the events of the service, and is no server of it.
	Subscriber bool     `json:"subscriber"`
	Grade      string   `json:"grade"`
	Score      *float64 `json:"score"`
	// Why says what lowers the score, and what the checks have found; "" if all is well.
	Why         string   `json:"why"`
	Unhealthy   bool     `json:"unhealthy"`
	CPUPercent  *float64 `json:"cpuPercent"`
	MemoryBytes *uint64  `json:"memoryBytes"`
	Figures
	// Refused is how many requests it has refused in the last minute, by reason.
	Refused map[string]uint64 `json:"refused"`
	// Leads are the groups that it leads.
	Leads []string `json:"leads"`
	Origin
}

// Origin is what an instance says of itself. The texts are "" if it does not say.
type Origin struct {
	Zone   string            `json:"zone"`
	Node   string            `json:"node"`
	Build  string            `json:"build"`
	Labels map[string]string `json:"labels"`
	// Reserved: it takes only calls that name it or choose it by a label, and is not counted
	// among the instances of its service.
	Reserved bool `json:"reserved"`
}

// Method is one method of a service.
type Method struct {
	Name    string `json:"name"`
	Pattern string `json:"pattern"`
	// Group is that of a single active method; "" for others.
	Group       string `json:"group"`
	Description string `json:"description"`
	Instances   int    `json:"instances"` // that offer it
	Figures
	// Codes are the errors of the last minute by code, such as "NOT_FOUND".
	Codes map[string]uint64 `json:"codes"`
}

// History is the document at "services/{service}/history": the figures of a service, one of
// its methods, or one of its instances, over time. All lists have one entry for each step,
// the oldest first, and null where nothing is known.
type History struct {
	Service  string `json:"service"`
	Method   string `json:"method"`
	Instance string `json:"instance"`
	// From is the beginning of the first step, in Unix seconds, and Step the length in seconds.
	From         int64      `json:"from"`
	Step         int64      `json:"step"`
	PerSecond    []*float64 `json:"perSecond"`
	ErrorPercent []*float64 `json:"errorPercent"`
	P50Ms        []*float64 `json:"p50Ms"`
	P90Ms        []*float64 `json:"p90Ms"`
	P99Ms        []*float64 `json:"p99Ms"`
	// HeatBoundsMs are the upper bounds of the latencies of Heat's rows, which ascend, and
	// Heat has for each step how many requests took so long. Both are empty for an instance.
	HeatBoundsMs []float64  `json:"heatBoundsMs"`
	Heat         [][]uint64 `json:"heat"`
}
