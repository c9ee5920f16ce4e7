package monitorapi

import "encoding/json"

// LetterAction is the body of a POST to "deadletters/{service}/putback" and
// "deadletters/{service}/delete".
type LetterAction struct {
	Method   string `json:"method"`
	Consumer string `json:"consumer"`
	Reason   string `json:"reason"`
	// Sequences are single letters; with them the fields above are "". UpTo bounds a group.
	Sequences []uint64 `json:"sequences"`
	UpTo      uint64   `json:"upTo"`
	// Count is how many letters the user was told of: with more of them nothing is done.
	Count int `json:"count"`
}

// LetterOutcome is what became of dead letters.
type LetterOutcome struct {
	Done   int             `json:"done"`
	Failed int             `json:"failed"`
	Left   []LetterProblem `json:"left"` // at most 100 of those that stay
}

// LetterProblem is why a dead letter stays.
type LetterProblem struct {
	Sequence uint64 `json:"sequence"`
	Code     string `json:"code"`
	Problem  string `json:"problem"`
}

// CallRequest is the body of a POST to "services/{service}/methods/{method}/call".
type CallRequest struct {
	Request  json.RawMessage     `json:"request"`
	Metadata map[string][]string `json:"metadata"`
	// TimeoutMs is the deadline; 0 for that of the method.
	TimeoutMs int64 `json:"timeoutMs"`
	// Instance is the one to call; "" for any.
	Instance string `json:"instance"`
}

// CallOutcome is the outcome of a call.
type CallOutcome struct {
	Code     string          `json:"code"` // OK or that of the error
	Error    string          `json:"error"`
	Response json.RawMessage `json:"response"` // null with an error
	// MayHaveRun: a handler may have run for a call that failed.
	MayHaveRun bool    `json:"mayHaveRun"`
	Ms         float64 `json:"ms"`
	// CommandID is the id of a command that was sent; "" else.
	CommandID string `json:"commandId"`
	// Replies are those of a broadcast.
	Replies []CallReply `json:"replies"`
}

// CallReply is the reply of one instance to a broadcast.
type CallReply struct {
	Instance string          `json:"instance"`
	Code     string          `json:"code"`
	Error    string          `json:"error"`
	Response json.RawMessage `json:"response"`
}

// MethodForm is the document at "services/{service}/methods/{method}": what a call form needs.
type MethodForm struct {
	Service     string          `json:"service"`
	Method      string          `json:"method"`
	Pattern     string          `json:"pattern"`
	Description string          `json:"description"`
	Request     string          `json:"request"`  // the full name of the message
	Response    string          `json:"response"` // the full name of the message
	Example     json.RawMessage `json:"example"`  // a request to edit
	// Streams: the method is a stream, which the form cannot call.
	Streams bool `json:"streams"`
}

// Results is the document at "search?q=": what has the text in its name, at most 50.
type Results struct {
	Results []Result `json:"results"`
	More    bool     `json:"more"`
}

// Result is one thing that was found.
type Result struct {
	Kind     string `json:"kind"` // service, instance, method, group, queue, stream, command
	Service  string `json:"service"`
	Name     string `json:"name"`
	Instance string `json:"instance"`
	Level    Level  `json:"level"`
}

// Problem is the body of every error, as RFC 9457 has it ("application/problem+json").
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	// Code is the code of an Aegis error, such as "UNAVAILABLE"; "" for others.
	Code   string `json:"code"`
	Detail string `json:"detail"` // what failed and what to do
}
