package monitorhttp

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate is the certificate of a server, which is read anew when its files change: it is
// renewed while the server runs. It is safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu     sync.Mutex // guards what follows
	loaded *tls.Certificate
	seen   stamp // of the files when they were read last, whether or not that went well
}

// stamp tells two versions of the files apart.
type stamp struct {
	cert, key         time.Time
	certSize, keySize int64
}

// LoadCertificate reads a certificate and its key from PEM files.
func LoadCertificate(certFile, keyFile string, logger *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	var err error
	if c.seen, err = c.stamp(); err != nil {
		return nil, err
	}
	if c.loaded, err = c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// get returns the certificate for a connection. While the files cannot be read, or do not
// belong together as one of them is still to be written, it is the one before.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, err := c.stamp()
	if now == c.seen {
		return c.loaded, nil
	}
	c.seen = now
	if err == nil {
		var fresh *tls.Certificate
		if fresh, err = c.load(); err == nil {
			c.loaded = fresh
			c.logger.Info("aegis: the monitor has a new certificate", "file", c.certFile)
		}
	}
	if err != nil {
		c.logger.Warn("aegis: the monitor goes on with the certificate that it has, as the new one cannot be used", "err", err)
	}
	return c.loaded, nil
}

func (c *Certificate) load() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("the certificate %s with the key %s: %w", c.certFile, c.keyFile, err)
	}
	return &pair, nil
}

func (c *Certificate) stamp() (stamp, error) {
	cert, err := os.Stat(c.certFile)
	if err != nil {
		return stamp{}, fmt.Errorf("the certificate: %w", err)
	}
	key, err := os.Stat(c.keyFile)
	if err != nil {
		return stamp{}, fmt.Errorf("the key of the certificate: %w", err)
	}
	return stamp{cert.ModTime(), key.ModTime(), cert.Size(), key.Size()}, nil
}
