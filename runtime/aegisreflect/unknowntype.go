package aegisreflect

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// unknownType is a type without fields, of which all bytes are a valid encoding as far as
// they are one of any type. It is registered nowhere.
var unknownType = func() protoreflect.MessageType {
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("aegisreflect/unknown.proto"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Unknown")}},
	}, nil)
	if err != nil {
		return nil // cannot be: the file is constant
	}
	return dynamicpb.NewMessageType(file.Messages().Get(0))
}()
