package aegis

import "context"

// withdraw stops taking commands that turn out to be nothing that this instance
// can do. Those that wait go to others.
func (w *commandWorker) withdraw() {
	if !w.server.withdraw(w.method) {
		return
	}
	w.leads.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
		defer cancel()
		w.stop(ctx)
	})
}
