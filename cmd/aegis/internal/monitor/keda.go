package monitor

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/aegisrpc/aegis/internal/monitorhttp"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegiskeda"
)

// keda says where the scaler for KEDA listens, and whom it lets in.
type keda struct {
	listen, clientCA string
}

// scaler is the scaler for KEDA, or none.
type scaler struct {
	listener net.Listener // nil for none
	options  monitorhttp.Options
}

// open listens for KEDA, if it is to. Close follows unless there is an error.
func (k *keda) open(certificate *monitorhttp.Certificate, logger *slog.Logger) (*scaler, error) {
	s := &scaler{options: monitorhttp.Options{Certificate: certificate, GRPC: true, Logger: logger}}
	if k.listen == "" {
		return s, nil
	}
	if k.clientCA != "" {
		pem, err := os.ReadFile(k.clientCA)
		if err != nil {
			return nil, fmt.Errorf("--keda-client-ca: %w", err)
		}
		s.options.ClientCAs = x509.NewCertPool()
		if !s.options.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--keda-client-ca %s: it has no certificate in PEM", k.clientCA)
		}
	}
	var err error
	if s.listener, err = monitorhttp.Listen(k.listen); err != nil {
		return nil, fmt.Errorf("--keda-listen: %w", err)
	}
	return s, nil
}

// address returns the address for KEDA as its triggers have it; "" for none.
func (s *scaler) address() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// start serves KEDA until ctx ends, and calls failed with the error if it ends before.
func (s *scaler) start(ctx context.Context, conn *aegis.Conn, failed context.CancelCauseFunc) (*sync.WaitGroup, error) {
	running := new(sync.WaitGroup)
	if s.listener == nil {
		return running, nil
	}
	handler, err := aegiskeda.New(conn)
	if err != nil {
		return running, err
	}
	s.options.Monitor = handler
	server := monitorhttp.New(s.listener, s.options)
	running.Go(func() {
		if err := server.Run(ctx); err != nil {
			failed(fmt.Errorf("serve KEDA: %w", err))
		}
	})
	return running, nil
}

// close ends listening, which the server has done if there was one.
func (s *scaler) close() {
	if s.listener != nil {
		_ = s.listener.Close()
	}
}
