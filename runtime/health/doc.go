// Package health measures the requests of an instance's methods, and judges from the
// figures how well the instance is.
//
// The package is pure: it reads no clock (the caller passes the time), opens no
// connection, and starts goroutines only for the checks of users. Memory is constant:
// about 33 kB for each method that was ever called.
//
// # How it is driven
//
//	recorder, err := health.NewRecorder(health.Config{}, time.Now()) // one per service
//	method := recorder.Method("GetOrder")                           // once, before serving
//
//	method.Begin()                                       // each request
//	method.End(now, now.Sub(arrived), code)
//	method.Refuse(now, health.RefusedOverloaded)         // or in place of both
//
//	stats := recorder.Stats(now)                         // each heartbeat
//	assessment := health.Assess(stats, meter.Sample(now), checks.Run(ctx), health.Limits{})
//	report := health.Report{Snapshot: health.Snapshot{Stats: stats}, Assessment: assessment}
//	data, err := report.Encode()
//
// # Score and grade
//
// The score starts at 100 and loses
//
//   - min(30, 2 x error rate) if more than 5 % of the requests failed,
//   - min(20, (mean latency - 100 ms) / 10 ms) if the mean is over 100 ms,
//   - 10 if the process uses over 80 % of its CPUs,
//   - 10 if its memory is over the limit (default 500 MB),
//   - the penalties of the users' checks,
//
// and is never under 0. A figure that is unknown costs nothing. Grades are by mean latency
// and error rate: A+ under 10 ms and 1 %, A under 50 ms and 2 %, B under 100 ms
// and 5 %, C under 200 ms and 10 %, else D. Every code but OK counts as failed. The latency
// of methods whose work takes its time, such as commands, does not count, see
// [Method.Unrate].
//
// Score and grade are for people. Only a check decides that an instance is
// unhealthy and gets no more calls: a threshold on errors would take out all
// instances at once when something behind them fails.
package health
