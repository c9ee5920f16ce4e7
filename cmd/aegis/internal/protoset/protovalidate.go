package protoset

import (
	"sync"

	validatepb "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/jhump/protoreflect/v2/protoprint"
)

// rulesPath is the import path of the rules of protovalidate.
const rulesPath = "buf/validate/validate.proto"

// rules returns the text of that file. It is printed from the descriptor that is part of the
// Go code, so that it has the rules which servers check, and no others.
var rules = sync.OnceValues(func() (string, error) {
	var printer protoprint.Printer
	return printer.PrintProtoToString(validatepb.File_buf_validate_validate_proto)
})
