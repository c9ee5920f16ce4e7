// Package deploytest tests the rules for Prometheus and the dashboard for Grafana in deploy.
// It is a module of its own, so that nobody who uses Aegis needs Prometheus's own code.
package deploytest
