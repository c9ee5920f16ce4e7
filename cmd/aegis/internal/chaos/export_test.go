package chaos

// Stopped tells whether a process is stopped by a signal.
func Stopped(pid int) (bool, error) {
	i, err := inspect(pid)
	return i.stopped, err
}
