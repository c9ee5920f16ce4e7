package spec

import (
	"time"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// Election says how fast a lost leader is replaced.
type Election struct {
	Lease         time.Duration
	ActWindow     time.Duration
	ProbeInterval time.Duration
}

// The limits of the act window and the probe interval, besides those that the
// lease and the act window set.
const (
	leastActWindow     = 20 * time.Millisecond
	leastProbeInterval = 5 * time.Millisecond
)

// preset returns the values of a preset.
func preset(p aegisv1.Election_Preset) (Election, bool) {
	e := Election{ActWindow: 100 * time.Millisecond, ProbeInterval: 30 * time.Millisecond}
	switch p {
	case aegisv1.Election_PRESET_UNSPECIFIED, aegisv1.Election_PRESET_BALANCED:
		e.Lease = 2 * time.Second
	case aegisv1.Election_PRESET_AGGRESSIVE:
		e.Lease = time.Second
	case aegisv1.Election_PRESET_CONSERVATIVE:
		e.Lease = 10 * time.Second
	default:
		return Election{}, false
	}
	return e, true
}

func (c *checker) election(at Place, opts *aegisv1.Election, elected bool) *Election {
	if opts != nil && !elected {
		c.addf(at, "no method or command of the service is single active, so nobody is elected; leave it out, or make one single_active")
	}
	e, ok := preset(opts.GetPreset())
	if !ok {
		c.addf(at.Field("preset"), "%d is no preset; write PRESET_AGGRESSIVE, PRESET_BALANCED or PRESET_CONSERVATIVE", opts.GetPreset())
		return nil
	}
	before := len(c.problems)
	e.Lease = c.duration(at.Field("lease"), opts.GetLease(), leaseRange, e.Lease)
	if len(c.problems) > before {
		return nil
	}
	window := span{leastActWindow, wholeMillis(e.Lease / 4)}
	e.ActWindow = c.duration(at.Field("act_window"), opts.GetActWindow(), window, e.ActWindow)
	if len(c.problems) > before {
		return nil
	}
	probe := span{leastProbeInterval, wholeMillis(e.ActWindow / 2)}
	e.ProbeInterval = c.duration(at.Field("probe_interval"), opts.GetProbeInterval(), probe, e.ProbeInterval)
	// Only the preset's own value can still be out of range.
	if len(c.problems) == before && e.ProbeInterval > probe.most {
		c.addf(at.Field("act_window"), "%s is less than twice the preset's probe interval of %s; write probe_interval as well, %s",
			short(e.ActWindow), short(e.ProbeInterval), probe)
	}
	if !elected {
		return nil
	}
	return &e
}

func wholeMillis(d time.Duration) time.Duration {
	return d.Truncate(time.Millisecond)
}
