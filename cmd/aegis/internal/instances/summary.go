package instances

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Service is a service as JSON shows it.
type Service struct {
	Service string `json:"service"`
	// Instances are those that serve; Reserved ones take only calls that choose them.
	Instances   int      `json:"instances"`
	Running     int      `json:"running"`
	Unhealthy   int      `json:"unhealthy"`
	Reserved    int      `json:"reserved"`
	Subscribers int      `json:"subscribers"`
	Versions    []string `json:"versions"`
	Leaders     []Lead   `json:"leaders,omitempty"`
}

// Instance is an instance as JSON shows it.
type Instance struct {
	Service            string    `json:"service"`
	Instance           string    `json:"instance"`
	Process            string    `json:"process"`
	State              string    `json:"state"`
	Version            string    `json:"version,omitempty"`
	Started            time.Time `json:"started"`
	Leads              []Lead    `json:"leads,omitempty"`
	Grade              string    `json:"grade,omitempty"`
	Score              *float64  `json:"score,omitempty"`
	Unhealthy          bool      `json:"unhealthy,omitempty"`
	NoRespondersHidden bool      `json:"no_responders_hidden,omitempty"`
	Subscriber         bool      `json:"subscriber,omitempty"`
	Findings           []string  `json:"findings,omitempty"`
	// What it says of itself.
	Zone     string            `json:"zone,omitempty"`
	Node     string            `json:"node,omitempty"`
	Build    string            `json:"build,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Reserved bool              `json:"reserved,omitempty"`
}

// Lead is a group that an instance leads.
type Lead struct {
	Group    string    `json:"group"`
	Instance string    `json:"instance"`
	Term     uint64    `json:"term"`
	Since    time.Time `json:"since"`
}

// summarise makes one Service of all instances of each service, ordered by name.
func summarise(instances []aegis.Instance) []*Service {
	byName := make(map[string]*Service)
	for _, i := range instances {
		s := byName[i.Service]
		if s == nil {
			s = &Service{Service: i.Service, Versions: []string{}}
			byName[i.Service] = s
		}
		s.add(i)
	}
	services := make([]*Service, 0, len(byName))
	for _, s := range byName {
		slices.Sort(s.Versions)
		slices.SortFunc(s.Leaders, func(a, b Lead) int { return cmp.Compare(a.Group, b.Group) })
		services = append(services, s)
	}
	slices.SortFunc(services, func(a, b *Service) int { return cmp.Compare(a.Service, b.Service) })
	return services
}

func (s *Service) add(i aegis.Instance) {
	if i.Subscriber {
		s.Subscribers++
		return
	}
	if i.Reserved {
		s.Reserved++
		return
	}
	s.Instances++
	if i.State == aegis.StateRunning {
		s.Running++
	}
	if i.Unhealthy {
		s.Unhealthy++
	}
	if i.Version != "" && !slices.Contains(s.Versions, i.Version) {
		s.Versions = append(s.Versions, i.Version)
	}
	s.Leaders = append(s.Leaders, leadsOf(i)...)
}

// count returns how many instances serve, and how many are reserved if any is.
func (s *Service) count() string {
	if s.Reserved > 0 {
		return fmt.Sprintf("%d + %d reserved", s.Instances, s.Reserved)
	}
	return strconv.Itoa(s.Instances)
}

// verdict returns in few words how the service is.
func (s *Service) verdict() cli.Styled {
	switch {
	case s.Instances == 0 && s.Reserved > 0:
		return cli.Styled{Text: "only reserved", Colour: cli.Yellow}
	case s.Instances == 0:
		return cli.Styled{Text: "no server", Colour: cli.Yellow}
	case s.Running == 0:
		return cli.Styled{Text: "none running", Colour: cli.Red}
	case s.Unhealthy > 0:
		return cli.Styled{Text: fmt.Sprintf("%d unhealthy", s.Unhealthy), Colour: cli.Red}
	case s.Running < s.Instances:
		return cli.Styled{Text: fmt.Sprintf("%d of %d running", s.Running, s.Instances), Colour: cli.Yellow}
	default:
		return cli.Styled{Text: "running", Colour: cli.Green}
	}
}

func instanceOf(i aegis.Instance) Instance {
	out := Instance{
		Service: i.Service, Instance: i.Name, Process: i.Process, State: i.State.String(), Version: i.Version, Started: i.Started,
		Leads: leadsOf(i), Unhealthy: i.Unhealthy, NoRespondersHidden: i.NoRespondersHidden, Subscriber: i.Subscriber,
		Zone: i.Zone, Node: i.Node, Build: i.Build, Labels: i.Labels, Reserved: i.Reserved,
	}
	if report, ok := i.Health(); ok {
		out.Grade = string(report.Grade)
		out.Score = &report.Score
		for _, f := range report.Findings {
			out.Findings = append(out.Findings, f.Reason)
		}
	}
	return out
}

// marks returns that the instance is reserved, and the remarks.
func (i *Instance) marks() []string {
	if i.Reserved {
		return append([]string{reserved}, i.remarks()...)
	}
	return i.remarks()
}

// remarks returns what is out of the ordinary with how the instance is.
func (i *Instance) remarks() []string {
	var remarks []string
	if i.Unhealthy {
		remarks = append(remarks, "unhealthy")
	}
	remarks = append(remarks, i.Findings...)
	if i.NoRespondersHidden {
		remarks = append(remarks, "no responders hidden")
	}
	return remarks
}

func (i *Instance) gradeCell() cli.Styled {
	switch {
	case i.Unhealthy:
		return cli.Styled{Text: cmp.Or(i.Grade, "?") + " !", Colour: cli.Red}
	case i.Grade == "A+" || i.Grade == "A" || i.Grade == "B":
		return cli.Styled{Text: i.Grade, Colour: cli.Green}
	default:
		return cli.Styled{Text: i.Grade, Colour: cli.Yellow}
	}
}

func stateCell(state string) cli.Styled {
	if state == aegis.StateRunning.String() {
		return cli.Styled{Text: state, Colour: cli.Green}
	}
	return cli.Styled{Text: state, Colour: cli.Yellow}
}

func leadsOf(i aegis.Instance) []Lead {
	var leads []Lead
	for _, t := range i.Leading {
		leads = append(leads, Lead{Group: t.Group, Instance: i.Name, Term: t.Token, Since: t.Since})
	}
	return leads
}

func leaderNames(leads []Lead) string {
	names := make([]string, len(leads))
	for i, l := range leads {
		names[i] = l.Group + ": " + l.Instance
	}
	return strings.Join(names, ", ")
}

func leadNames(leads []Lead) string {
	names := make([]string, len(leads))
	for i, l := range leads {
		names[i] = fmt.Sprintf("%s (term %d)", l.Group, l.Term)
	}
	return strings.Join(names, ", ")
}
