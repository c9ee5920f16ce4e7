package deploytest_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// names are sets of labels' names.
type names map[string]bool

func set(list ...string) names {
	n := names{}
	for _, l := range list {
		n[l] = true
	}
	return n
}

// target are the labels that Prometheus itself adds to what it scrapes.
var target = set("instance", "job")

// checker finds what a query names and nobody exports. It has the labels of each metric.
type checker map[string]names

// query returns the labels of a query's result, or says which name in it does not exist.
func (c checker) query(text string) (names, error) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return nil, err
	}
	return c.labels(expr)
}

func (c checker) labels(expr parser.Expr) (names, error) {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		return c.selector(e)
	case *parser.MatrixSelector:
		return c.labels(e.VectorSelector)
	case *parser.SubqueryExpr:
		return c.labels(e.Expr)
	case *parser.ParenExpr:
		return c.labels(e.Expr)
	case *parser.UnaryExpr:
		return c.labels(e.Expr)
	case *parser.StepInvariantExpr:
		return c.labels(e.Expr)
	case *parser.NumberLiteral, *parser.StringLiteral:
		return names{}, nil
	case *parser.AggregateExpr:
		return c.aggregate(e)
	case *parser.BinaryExpr:
		return c.binary(e)
	case *parser.Call:
		return c.call(e)
	default:
		return nil, fmt.Errorf("%T is not known to this test", expr)
	}
}

func (c checker) selector(e *parser.VectorSelector) (names, error) {
	name := e.Name
	has, ok := c[name]
	if !ok {
		return nil, fmt.Errorf("nobody exports %q", name)
	}
	for _, m := range e.LabelMatchers {
		if m.Name != labels.MetricName && !has[m.Name] && !target[m.Name] {
			return nil, fmt.Errorf("%s has no label %q", name, m.Name)
		}
	}
	all := maps.Clone(has)
	maps.Copy(all, target)
	return all, nil
}

func (c checker) aggregate(e *parser.AggregateExpr) (names, error) {
	inner, err := c.labels(e.Expr)
	if err != nil {
		return nil, err
	}
	if err := lacks(inner, e.Grouping, e); err != nil {
		return nil, err
	}
	if e.Op == parser.TOPK || e.Op == parser.BOTTOMK {
		return inner, nil
	}
	if !e.Without {
		return set(e.Grouping...), nil
	}
	for _, l := range e.Grouping {
		delete(inner, l)
	}
	return inner, nil
}

func (c checker) binary(e *parser.BinaryExpr) (names, error) {
	left, err := c.labels(e.LHS)
	if err != nil {
		return nil, err
	}
	right, err := c.labels(e.RHS)
	if err != nil {
		return nil, err
	}
	m := e.VectorMatching
	switch {
	case m == nil && e.LHS.Type() == parser.ValueTypeScalar:
		return right, nil
	case m == nil:
		return left, nil
	case e.Op == parser.LOR: // what both have
		maps.DeleteFunc(left, func(l string, _ bool) bool { return !right[l] })
		return left, nil
	}
	if err := lacks(left, m.MatchingLabels, e); err != nil {
		return nil, err
	}
	if err := lacks(right, m.MatchingLabels, e); err != nil {
		return nil, err
	}
	if !m.On && !maps.Equal(left, right) {
		return nil, fmt.Errorf("the sides of %s never match: %v and %v", e, left, right)
	}
	if m.On && m.Card == parser.CardOneToOne {
		return set(m.MatchingLabels...), nil
	}
	return left, nil
}

func (c checker) call(e *parser.Call) (names, error) {
	result := names{}
	for _, arg := range e.Args {
		l, err := c.labels(arg)
		if err != nil {
			return nil, err
		}
		maps.Copy(result, l)
	}
	switch e.Func.Name {
	case "histogram_quantile":
		if !result["le"] {
			return nil, fmt.Errorf("%s needs the label le", e)
		}
		delete(result, "le")
	case "absent", "scalar", "vector", "time":
		return names{}, nil
	}
	return result, nil
}

// lacks says which of some labels the parts of an expression do not have.
func lacks(has names, wanted []string, e parser.Expr) error {
	for _, l := range wanted {
		if !has[l] {
			return fmt.Errorf("nothing in %s has the label %q, but %s", e, l, strings.Join(slices.Sorted(maps.Keys(has)), ", "))
		}
	}
	return nil
}
