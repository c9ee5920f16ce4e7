package codegen

import "testing"

func TestFileNamesThatGoBuildsOnSomeSystemsAloneAreKnown(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"order.aegis.go":        true,
		"js.aegis.go":           true, // without anything before it, it is a name like any other
		"order_v1.aegis.go":     true,
		"order_test.aegis.go":   true,
		"order_unix.aegis.go":   true,
		"order_js_v1.aegis.go":  true,
		"window_js.aegis.go":    false,
		"robot_arm.aegis.go":    false,
		"app_linux.aegis.go":    false, // also on Linux
		"app_linux_x.aegis.go":  true,
		"app_ios_test.aegis.go": false,
		"_order.aegis.go":       false,
		".order.aegis.go":       false,
	} {
		if got := builtEverywhere(name); got != want {
			t.Errorf("%s is built everywhere: %v", name, got)
		}
	}
}
