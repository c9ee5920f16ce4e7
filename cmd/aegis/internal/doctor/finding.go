package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Finding is one thing that a check has found.
type Finding struct {
	// ID names the kind of the finding for programs: the name of the check, a dot and a
	// word. It never changes its meaning.
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	// Subject is the thing that the finding is about, such as the name of a stream; ""
	// where there is only one. ID and Subject together name the finding.
	Subject string `json:"subject,omitempty"`
	// Text says what was found, in one sentence.
	Text string `json:"text"`
	// Remedy says what to do, with the command to run; "" where there is nothing to do.
	Remedy string `json:"remedy,omitempty"`
}

// key names the finding among all findings of a look.
func (f Finding) key() string { return f.ID + " " + f.Subject }

// ok, info, unknown, warning and failure make findings of the severities.
func ok(id, subject, format string, args ...any) Finding {
	return Finding{ID: id, Severity: OK, Subject: subject, Text: fmt.Sprintf(format, args...)}
}

func info(id, subject, format string, args ...any) Finding {
	return Finding{ID: id, Severity: Info, Subject: subject, Text: fmt.Sprintf(format, args...)}
}

func unknown(id, subject, format string, args ...any) Finding {
	return Finding{ID: id, Severity: Unknown, Subject: subject, Text: fmt.Sprintf(format, args...)}
}

func warning(id, subject, format string, args ...any) Finding {
	return Finding{ID: id, Severity: Warning, Subject: subject, Text: fmt.Sprintf(format, args...)}
}

func failure(id, subject, format string, args ...any) Finding {
	return Finding{ID: id, Severity: Failure, Subject: subject, Text: fmt.Sprintf(format, args...)}
}

// so returns the finding with what to do about it.
func (f Finding) so(format string, args ...any) Finding {
	f.Remedy = fmt.Sprintf(format, args...)
	return f
}

// unread returns the finding of a check that could not read something.
func unread(id, subject, what string, err error) Finding {
	f := unknown(id, subject, "%s cannot be read: %v", what, err)
	var refused *deniedError
	switch {
	case errors.As(err, &refused) && refused.subscribe:
		return f.so("let this user subscribe to %q, or look with a user that may", refused.subject)
	case errors.As(err, &refused):
		return f.so("let this user publish to %q (aegis doctor --print-permissions --role monitor prints all), or look with a user that may", refused.subject)
	case errors.Is(err, errNoJetStream):
		return f.so("turn JetStream on (jetstream: enabled in the account), or name the right one with --js-domain or --js-api-prefix")
	}
	return f.so("run aegis doctor again; a longer --timeout helps where NATS answers late")
}

// worst returns the greatest severity of findings, OK if there are none. Unknown counts
// only where nothing is worse than info.
func worst(findings []Finding) Severity {
	w := OK
	for i := range findings {
		w = max(w, findings[i].Severity)
	}
	return w
}

// sortFindings orders the findings of a check: the worst first, then by name.
func sortFindings(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(-cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Subject, b.Subject))
	})
}
