package health

// Code is a canonical code of google.rpc.Code. 0 is OK.
type Code uint32

const (
	codeOK      Code = 0
	codeUnknown Code = 2
	codes            = 17
)

// known maps a number that is no canonical code to Unknown.
func (c Code) known() Code {
	if c >= codes {
		return codeUnknown
	}
	return c
}
