// Package monitorapi has the documents of the monitor's HTTP API, which its page, its
// terminal view and other programs read. The OpenAPI document in runtime/aegismonitor
// describes the same documents, and a test compares the two.
//
// Each live document is at one address: GET returns it as JSON, and with
// "Accept: text/event-stream" it comes again whenever it has changed, about once a second
// for figures and at once for changes of leaders and connections.
//
// Figures are numbers in the units that their names say. One that is not known is null: it
// is never 0 in its place, and never NaN. Lists are empty, not null, if there is nothing.
// Times are by the clock of the monitor unless a field says otherwise.
package monitorapi

// Prefix is that of all paths of the API, below the path that the monitor is mounted under.
const Prefix = "/api/v1/"
