package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxBins bounds the memory of the time line. When a run gets longer, each two neighbours
// become one.
const maxBins = 240

// Bin is one part of a run's time: the calls that ended in it.
type Bin struct {
	Calls, Errors, Messages int64
	Latency                 *hdrhistogram.Histogram // of all calls, with two digits
}

// Merge adds another bin.
func (b *Bin) Merge(other *Bin) {
	b.Calls += other.Calls
	b.Errors += other.Errors
	b.Messages += other.Messages
	b.Latency.Merge(other.Latency)
}

// NewBin returns an empty one.
func NewBin() Bin { return Bin{Latency: newHistogram(2)} }

// bin returns the part of the time at which a call ended.
func (r *Recording) bin(at time.Duration) *Bin {
	i := int(at / r.BinLength)
	for i >= maxBins {
		r.halve()
		i = int(at / r.BinLength)
	}
	for len(r.Bins) <= i {
		r.Bins = append(r.Bins, NewBin())
	}
	return &r.Bins[i]
}

func (r *Recording) halve() {
	half := 0
	for i := 0; i < len(r.Bins); i += 2 {
		r.Bins[half] = r.Bins[i]
		if i+1 < len(r.Bins) {
			r.Bins[half].Merge(&r.Bins[i+1])
		}
		half++
	}
	clear(r.Bins[half:]) // their histograms are in others now
	r.Bins = r.Bins[:half]
	r.BinLength *= 2
}
