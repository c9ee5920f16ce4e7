package doctor

import (
	"context"

	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

func checkEnvironment() Check {
	return Check{
		Name: "environment", Looks: "where this process runs, as a server that is started here would say of itself: instance, build, zone, node and labels",
		Reads: "the environment; files of the pod",
		IDs:   words("detected invalid"),
		run:   func(context.Context, *look) []Finding { return judgeEnvironment(aegisenv.Detect()) },
	}
}

func judgeEnvironment(e aegisenv.Environment, err error) []Finding {
	if err != nil {
		return []Finding{failure("environment.invalid", "", "%v", err).
			so("correct the variable or the file: no program that package aegisenv connects starts here")}
	}
	return []Finding{ok("environment.detected", "", "%s", e)}
}
