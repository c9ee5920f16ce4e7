package natschart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"time"
)

// Lame-duck times as the chart writes them. A server takes no shorter duration than this.
const (
	lameDuckGrace    = 10 * time.Second
	lameDuckDuration = 30 * time.Second
)

// Place is where a server runs on this machine.
type Place struct {
	Name                     string // of its pod
	Certificates, Store, PID string // folders, and the file with the process id
	Client, Monitor, Routes  int    // ports
	Peers                    []int  // the ports for routes of all servers
	LameDuckGrace            time.Duration
}

// Conf returns the configuration of a server as the chart makes it, but for ports and folders.
func (v *Values) Conf(at Place) (string, error) {
	conf := v.conf(at)
	for key, value := range v.Config.Merge {
		if _, taken := conf[key]; taken {
			return "", fmt.Errorf("config.merge has %s, which the chart writes", key)
		}
		conf[key] = value
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(conf); err != nil {
		return "", err
	}
	return regexp.MustCompile(`"<<\s+(.*)\s+>>"`).ReplaceAllString(text.String(), "$1"), nil
}

func (v *Values) conf(at Place) map[string]any {
	tls := map[string]any{
		"cert_file": filepath.Join(at.Certificates, "tls.crt"), "key_file": filepath.Join(at.Certificates, "tls.key"),
		"ca_file": filepath.Join(at.Certificates, "ca.crt"), // tlsCA
	}
	var routes []string
	for _, port := range at.Peers {
		routes = append(routes, fmt.Sprintf("tls://127.0.0.1:%d", port))
	}
	jetstream := map[string]any{
		"store_dir": at.Store, "max_memory_store": 0, "max_file_store": v.Config.JetStream.FileStore.MaxSize.Value(),
	}
	maps.Copy(jetstream, v.Config.JetStream.Merge)
	return map[string]any{
		"server_name":            at.Name,
		"lame_duck_grace_period": at.LameDuckGrace.String(),
		"lame_duck_duration":     lameDuckDuration.String(),
		"pid_file":               at.PID,
		"host":                   "127.0.0.1",
		"port":                   at.Client,
		"http":                   fmt.Sprintf("127.0.0.1:%d", at.Monitor),
		"tls":                    tls,
		"jetstream":              jetstream,
		"cluster": map[string]any{
			"name": "nats", "host": "127.0.0.1", "port": at.Routes, "no_advertise": true, "routes": routes, "tls": tls,
		},
	}
}
