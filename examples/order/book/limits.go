package book

import (
	"encoding/json"
	"os"
	"sync/atomic"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// limits are read from a file, at the start and when all instances are told to.
type limits struct {
	file    string
	current atomic.Pointer[limitsFile]
}

// limitsFile is what the file says.
type limitsFile struct {
	Version     int64 `json:"version"`
	MaxQuantity int64 `json:"max_quantity"` // 0: any
}

// reload reads the file. What is no file of limits changes nothing.
func (l *limits) reload() (limitsFile, error) {
	var now limitsFile
	if l.file != "" {
		data, err := os.ReadFile(l.file)
		if err == nil {
			err = json.Unmarshal(data, &now)
		}
		if err != nil {
			return now, aegis.Errorf(aegis.CodeFailedPrecondition, "the limits stay as they were: %w", err)
		}
		if now.Version < 1 || now.MaxQuantity < 0 {
			return now, aegis.Errorf(aegis.CodeFailedPrecondition,
				"the limits stay as they were: %s needs a version from 1 on and a max_quantity of at least 0", l.file)
		}
	}
	l.current.Store(&now)
	return now, nil
}

// check refuses an order that is too large.
func (l *limits) check(r *orderv1.PlaceOrderRequest) error {
	if most := l.current.Load().MaxQuantity; most > 0 && r.GetQuantity() > most {
		return aegis.Errorf(aegis.CodeFailedPrecondition, "the quantity is %d, and the limit is %d; nothing was stored", r.GetQuantity(), most)
	}
	return nil
}
