package spec

import (
	"time"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// Election has the values of the options of an election, which decide how fast a lost
// leader is replaced.
type Election struct {
	Lease         time.Duration // how long a leader may act after its last renewal
	ActWindow     time.Duration // how long a leader may act after its last contact with its NATS server
	ProbeInterval time.Duration // how often a standby asks whether the leader is alive
}

// The lower limits of the act window and the probe interval. The upper limits follow
// from the lease and the act window.
const (
	leastActWindow     = 20 * time.Millisecond
	leastProbeInterval = 5 * time.Millisecond
)

// preset returns the values of a preset, and whether there is such a preset.
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

// election checks the option election and fills in the preset's values. It returns nil if
// something is wrong, or if no method or command is single active.
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
