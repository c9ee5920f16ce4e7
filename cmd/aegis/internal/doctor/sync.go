package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// syncSetting is how often a NATS server has the disk keep what it has acknowledged.
type syncSetting struct {
	server   string
	always   bool
	interval time.Duration
	store    bool // JetStream is on
}

func checkSync() Check {
	return Check{
		Name: "sync", Looks: "sync_interval of the NATS servers: what a power failure may cost",
		Reads: "`/varz` of --monitor, or `$SYS.REQ.SERVER.PING.VARZ` as a user of the system account; JetStream's own API does not tell",
		IDs:   words("always interval unread"),
		run: func(ctx context.Context, l *look) []Finding {
			settings, err := l.readSync(ctx)
			if err != nil {
				f := unknown("sync.unread", "", "sync_interval cannot be read: %v", err)
				return []Finding{f.so("look into the configuration of each NATS server: jetstream { sync_interval: always } keeps what was acknowledged " +
					"through a power failure, and so do three replicas that do not fail together; or give --monitor http://HOST:8222")}
			}
			return judgeSync(settings)
		},
	}
}

// varz is the part of a NATS server's figures that the check reads.
type varz struct {
	Name      string `json:"server_name"`
	JetStream struct {
		Config *struct {
			Interval time.Duration `json:"sync_interval"`
			Always   bool          `json:"sync_always"`
		} `json:"config"`
	} `json:"jetstream"`
}

func (v *varz) setting() syncSetting {
	s := syncSetting{server: v.Name}
	if c := v.JetStream.Config; c != nil {
		s.store, s.always, s.interval = true, c.Always, c.Interval
	}
	return s
}

func (l *look) readSync(ctx context.Context) ([]syncSetting, error) {
	if l.scope.Monitor != "" {
		return l.readMonitor(ctx)
	}
	return l.readSystem(ctx)
}

// mostVarz bounds the figures of one server.
const mostVarz = 4 << 20

// readMonitor asks the monitoring port of a NATS server.
func (l *look) readMonitor(ctx context.Context) ([]syncSetting, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(l.scope.Monitor, "/")+"/varz", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // it was read
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", req.URL, res.Status)
	}
	var v varz
	if err := json.NewDecoder(io.LimitReader(res.Body, mostVarz)).Decode(&v); err != nil {
		return nil, fmt.Errorf("%s is no figures of a NATS server: %w", req.URL, err)
	}
	return []syncSetting{v.setting()}, nil
}

// systemSubject is answered by each NATS server, for users of the system account.
const systemSubject = "$SYS.REQ.SERVER.PING.VARZ"

// systemWait is how long the answers of all NATS servers are waited for.
const systemWait = 500 * time.Millisecond

// readSystem asks all NATS servers, which answer users of the system account alone.
func (l *look) readSystem(ctx context.Context) ([]syncSetting, error) {
	_, err := l.request(ctx, systemSubject, nil)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, errors.New("this user is none of the system account, and no --monitor is given")
	}
	if err != nil {
		return nil, err
	}
	inbox := l.nc.NewInbox()
	sub, err := l.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a connection that is closed
	if err := l.nc.PublishRequest(systemSubject, inbox, nil); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, systemWait)
	defer cancel()
	var settings []syncSetting
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			break // nobody says how many servers there are
		}
		var answer struct {
			Data varz `json:"data"`
		}
		if json.Unmarshal(msg.Data, &answer) == nil && answer.Data.Name != "" {
			settings = append(settings, answer.Data.setting())
		}
	}
	if len(settings) == 0 {
		return nil, errors.New("the system account gives no figures")
	}
	return settings, nil
}

// judgeSync judges the settings of the servers that were asked.
func judgeSync(settings []syncSetting) []Finding {
	var found []Finding
	for _, s := range settings {
		switch {
		case !s.store:
			found = append(found, info("sync.interval", s.server, "the NATS server %s has no JetStream, and so nothing to sync", s.server))
		case s.always:
			found = append(found, ok("sync.always", s.server, "the NATS server %s has the disk keep each message before it acknowledges it", s.server))
		default:
			found = append(found, warning("sync.interval", s.server, "the NATS server %s has the disk keep what it has acknowledged every %s: "+
				"a power failure may cost what came since, commands and terms of leaders included", s.server, shortDuration(s.interval)).
				so("set jetstream { sync_interval: always } in its configuration, or keep three replicas in places that do not fail together"))
		}
	}
	return found
}
