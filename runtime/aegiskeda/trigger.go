package aegiskeda

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// The keys of a trigger's metadata.
const (
	keyService    = "service"
	keyMethod     = "method"
	keyMetric     = "metric"
	keyGroup      = "group"
	keyTarget     = "target"
	keyActivation = "activation"
)

// keys are the keys that mean something here.
func keys() []string {
	return []string{keyService, keyMethod, keyMetric, keyGroup, keyTarget, keyActivation}
}

// keysOfKEDA are the keys of the same metadata that KEDA itself reads.
func keysOfKEDA() []string { return []string{"scalerAddress", "enableTLS", "unsafeSsl"} }

// The metrics.
const (
	metricWaiting    = "waiting"
	metricUnfinished = "unfinished"
	metricAge        = "age"
	metricLag        = "lag"
	metricRefused    = "refused"
)

// trigger is what the metadata of a trigger say.
type trigger struct {
	of                 subject
	metric             string
	target, activation float64
}

// parseTrigger reads the metadata of a trigger.
func parseTrigger(metadata map[string]string) (*trigger, error) {
	given := make(map[string]string, len(metadata))
	for key, value := range metadata {
		name := strings.TrimSuffix(key, "FromEnv")
		switch {
		case slices.Contains(keysOfKEDA(), key):
			continue
		case !slices.Contains(keys(), name):
			return nil, fmt.Errorf("the metadata have the key %q, which is unknown: the keys are %s", key, strings.Join(keys(), ", "))
		case given[name] != "":
			return nil, fmt.Errorf("the metadata have both %s and %sFromEnv: leave one of them out", name, name)
		}
		given[name] = strings.TrimSpace(value)
	}
	t := &trigger{of: subject{given[keyService], given[keyMethod], given[keyGroup]}, metric: given[keyMetric]}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, t.parseNumbers(given[keyTarget], given[keyActivation])
}

// check returns an error for names that cannot be meant, or do not belong to the metric.
func (t *trigger) check() error {
	needs := []string{keyMethod}
	switch t.metric {
	case metricWaiting, metricUnfinished, metricAge:
	case metricLag:
		needs = append(needs, keyGroup)
	case metricRefused:
		needs = nil
	default:
		return fmt.Errorf("%s is %q: say what is measured, one of waiting, unfinished, age, lag and refused", keyMetric, t.metric)
	}
	if !registry.ValidService(t.of.service) {
		return fmt.Errorf("%s is %q: give the full name of a service, such as order.v1.OrderService", keyService, t.of.service)
	}
	if err := t.checkName(keyMethod, t.of.method, needs, wire.ValidMethod); err != nil {
		return err
	}
	return t.checkName(keyGroup, t.of.group, needs, func(name string) bool {
		return wire.ValidSubject(name) && !strings.Contains(name, ".")
	})
}

func (t *trigger) checkName(key, name string, needs []string, valid func(string) bool) error {
	switch needed := slices.Contains(needs, key); {
	case needed && name == "":
		return fmt.Errorf("the metric %s needs the key %s", t.metric, key)
	case !needed && name != "":
		return fmt.Errorf("the metric %s has no %s: leave the key out", t.metric, key)
	case needed && !valid(name):
		return fmt.Errorf("%q is no name of a %s", name, key)
	}
	return nil
}

// parseNumbers reads the target and the activation.
func (t *trigger) parseNumbers(target, activation string) error {
	var err error
	if t.target, err = strconv.ParseFloat(target, 64); err != nil || !(t.target > 0) || math.IsInf(t.target, 0) {
		return fmt.Errorf("%s is %q: give the value that one replica is for, a number greater than 0", keyTarget, target)
	}
	if activation == "" {
		return nil
	}
	if t.activation, err = strconv.ParseFloat(activation, 64); err != nil || !(t.activation >= 0) || math.IsInf(t.activation, 0) {
		return fmt.Errorf("%s is %q: give the value above which there is a first replica, 0 or greater", keyActivation, activation)
	}
	return nil
}

// name is the name of the metric for KEDA.
func (t *trigger) name() string { return "aegis-" + t.metric }

// value returns what is measured.
func (t *trigger) value(f figures) float64 {
	switch t.metric {
	case metricUnfinished:
		return f.waiting + f.underWay
	case metricAge:
		return f.age.Seconds()
	case metricRefused:
		return f.refused
	default:
		return f.waiting
	}
}

// active tells whether there is to be any replica. What is under way needs one even where all
// workers are gone: nobody else works again what they have left.
func (t *trigger) active(f figures) bool { return t.value(f) > t.activation || f.underWay > 0 }
