// Package browsertest tests the monitor's page in a real browser, headless Chromium, against
// real services on a real NATS server. It is a module of its own, so that the driver of the
// browser is no dependency of Aegis. "make browsertest" runs it.
package browsertest
