package collect

// Sink is what the tests stand in for.
type Sink = sink

// StartWith is Start with another board.
var StartWith = start
