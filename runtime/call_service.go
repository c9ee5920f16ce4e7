package aegis

import "github.com/aegisrpc/aegis/runtime/registry"

// checkService refuses what cannot be the full name of a service.
func checkService(name string) *Error {
	if !registry.ValidService(name) {
		return Errorf(CodeInvalidArgument, "%s is no full name of a service, such as echo.v1.EchoService", quote(name))
	}
	return nil
}
