package top

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// unknown is the order of a figure that is not known: it is the last one, however one sorts.
var unknown = math.NaN()

// grouped returns a whole number with its thousands apart: "12,480".
func grouped(n float64) string {
	if math.Abs(n) >= 1e12 {
		return strconv.FormatFloat(n, 'g', 3, 64)
	}
	digits := strconv.FormatInt(int64(math.Round(n)), 10)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// short returns a figure with at most so many decimals: the greater it is, the fewer.
func short(n float64, decimals int) string {
	switch {
	case n == 0:
		return "0"
	case math.Abs(n) >= 100 || decimals == 0:
		return grouped(n)
	case math.Abs(n) >= 10:
		decimals = min(decimals, 1)
	}
	return strconv.FormatFloat(n, 'f', decimals, 64)
}

// figure is a cell with a number, or with none.
func figure(n *float64, decimals int) cell {
	if n == nil {
		return cell{text: none, colour: cli.Dim, order: unknown}
	}
	return cell{text: short(*n, decimals), order: *n}
}

// failing is a figure that is red above a limit.
func failing(n *float64, decimals int, limit float64) cell {
	c := figure(n, decimals)
	if c.order > limit {
		c.colour = cli.Red
	}
	return c
}

// whole is a cell with a count.
func whole[T int | int64 | uint64](n T) cell {
	c := cell{text: grouped(float64(n)), order: float64(n)}
	if n == 0 {
		c.colour = cli.Dim
	}
	return c
}

// wrong is a count that needs attention unless it is 0.
func wrong[T int | int64 | uint64](n T, c cli.Colour) cell {
	out := whole(n)
	if n != 0 {
		out.colour = c
	}
	return out
}

// ago is a cell with the time since something was. The latest is the least.
func ago(t *time.Time, now time.Time) cell {
	if t == nil || t.IsZero() {
		return cell{text: none, colour: cli.Dim, order: unknown}
	}
	age := now.Sub(*t)
	return cell{text: cli.Span(age), order: age.Seconds()}
}

// seconds returns a short time in words: "0.41 s", "3m12s".
func seconds(s float64) string {
	if s < 60 {
		return short(s, 2) + " s"
	}
	return cli.Span(time.Duration(min(s, 1e9) * float64(time.Second)))
}

// clock returns a time of the day as people at this machine read it.
func clock(t time.Time) string { return t.Local().Format("15:04:05") } //nolint:gosmopolitan // a person reads it

// figuresText returns figures in words.
func figuresText(f *monitorapi.Figures) string {
	say := func(n *float64, decimals int, unit string) string { return figure(n, decimals).text + unit }
	return fmt.Sprintf("%s calls/s · %s errors · p50 %s · p99 %s",
		say(f.PerSecond, 1, ""), say(f.ErrorPercent, 2, " %"), say(f.P50Ms, 2, " ms"), say(f.P99Ms, 2, " ms"))
}

// severity puts levels in order.
func severity(l monitorapi.Level) float64 {
	switch l {
	case monitorapi.LevelOK:
		return 0
	case monitorapi.LevelAttention:
		return 2
	case monitorapi.LevelCritical:
		return 3
	default:
		return 1
	}
}

// levelShape returns the shape and the colour of a level.
func levelShape(l monitorapi.Level) (string, cli.Colour) {
	switch l {
	case monitorapi.LevelOK:
		return "●", cli.Green
	case monitorapi.LevelAttention:
		return "▲", cli.Yellow
	case monitorapi.LevelCritical:
		return "✕", cli.Red
	default:
		return "○", cli.Dim
	}
}

// levelCell is a level with its shape and its word.
func levelCell(l monitorapi.Level) cell {
	shape, colour := levelShape(l)
	return cell{text: shape + " " + plain(string(l)), colour: colour, order: severity(l)}
}

// gradeCell is a grade from A+ to F.
func gradeCell(grade string) cell {
	c := cell{text: orNone(grade)}
	switch {
	case grade == "":
		c.colour = cli.Dim
	case grade[0] == 'A':
		c.colour = cli.Green
	case grade[0] == 'B':
		c.colour = cli.Yellow
	default:
		c.colour = cli.Red
	}
	return c
}

// spark draws values, which are spread over so many characters; unknown ones are blank.
func spark(values []*float64, width int) string {
	const bars = "▁▂▃▄▅▆▇█"
	tones := []rune(bars)
	greatest := 0.0
	for _, v := range values {
		if v != nil {
			greatest = max(greatest, *v)
		}
	}
	var b strings.Builder
	for i := range width {
		part, known := 0.0, false
		from := i * len(values) / width
		for _, v := range values[from:min(max(from+1, (i+1)*len(values)/width), len(values))] {
			if v != nil {
				part, known = max(part, *v), true
			}
		}
		switch {
		case !known:
			b.WriteByte(' ')
		case part <= 0:
			b.WriteRune(tones[0])
		default:
			b.WriteRune(tones[1+int(math.Round(part/greatest*float64(len(tones)-2)))])
		}
	}
	return b.String()
}

// sortedByCount returns the names of counts, the greatest first.
func sortedByCount(of map[string]uint64) []string {
	names := slices.Collect(maps.Keys(of))
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(of[b], of[a]), cmp.Compare(a, b)) })
	return names
}

// hourCell is a picture of the last hour.
func hourCell(values []*float64) cell {
	return cell{colour: cli.Blue, draw: func(width int) string { return spark(values, width) }}
}
