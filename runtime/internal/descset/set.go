// Package descset makes the set of descriptors of a service, and reads sets that others
// have made. A set is a FileDescriptorSet of the file of the service and of all files that
// it imports, directly or not, so that a program without the generated code of a service
// can still read and write its messages.
package descset

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Set is the set of descriptors of a service. It does not change, so goroutines share it.
type Set struct {
	hash     string
	encoded  []byte
	comments map[string]string                    // of a set that Of has made, by name
	files    func() (*protoregistry.Files, error) // made once
}

// newSet makes a set of its encoded form. describe returns what is encoded, and is called
// when the files are first needed: a program that only serves a set never needs them.
func newSet(encoded []byte, describe func() (*descriptorpb.FileDescriptorSet, error)) *Set {
	return &Set{hash: hashOf(encoded), encoded: encoded, files: sync.OnceValues(func() (files *protoregistry.Files, err error) {
		// protodesc checks most that a set may get wrong, and panics where it does not.
		defer func() {
			if r := recover(); r != nil {
				files, err = nil, fmt.Errorf("the descriptors are invalid: %v", r)
			}
		}()
		set, err := describe()
		if err != nil {
			return nil, err
		}
		return protodesc.NewFiles(set)
	})}
}

// Of returns the set of a service. The comments are those of the declarations of the file
// of the service, and take the place of those that the file has. Names that it does not
// declare are ignored, as the file may be newer or older than the generated code that
// carries its comments.
func Of(service protoreflect.ServiceDescriptor, comments ...Comment) (*Set, error) {
	file := service.ParentFile()
	if file == nil {
		return nil, fmt.Errorf("%s has no file", service.FullName())
	}
	c := &collector{file: file, seen: map[string]bool{}}
	if err := c.add(file); err != nil {
		return nil, err
	}
	if len(comments) > 0 {
		last := c.set.GetFile()[len(c.set.GetFile())-1]
		last.SourceCodeInfo = sourceInfo(file, comments)
	}
	encoded, err := encode(&c.set)
	if err != nil {
		return nil, err
	}
	set := newSet(encoded, func() (*descriptorpb.FileDescriptorSet, error) { return described(encoded) })
	set.comments = make(map[string]string, len(comments))
	for _, comment := range comments {
		set.comments[comment.Name] = comment.Text
	}
	return set, nil
}

// Comment returns the comment of a declaration of the service's file, in a set that Of has
// made; "" if it has none.
func (s *Set) Comment(desc protoreflect.Descriptor) string { return s.comments[nameInFile(desc)] }

// Hash returns the hash of the set: the first 16 bytes of the SHA-256 of its encoded form,
// in lower-case hex.
func (s *Set) Hash() string { return s.hash }

// Encoded returns the encoded form of the set, a FileDescriptorSet in gzip. The caller must
// not change it.
func (s *Set) Encoded() []byte { return s.encoded }

// Files returns a registry that has the files of the set and no others. The options of
// Aegis are readable in its descriptors. The caller must not add files.
func (s *Set) Files() (*protoregistry.Files, error) { return s.files() }

// Service returns a service of the set by its full name.
func (s *Set) Service(name string) (protoreflect.ServiceDescriptor, error) {
	files, err := s.Files()
	if err != nil {
		return nil, err
	}
	found, err := files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, fmt.Errorf("the descriptors have no service %s", name)
	}
	service, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s is no service in the descriptors", name)
	}
	return service, nil
}

// hashLength is the length of the hash of a set, in bytes before hex.
const hashLength = 16

// hashOf hashes the encoded form, not the FileDescriptorSet in it: a set travels in slices,
// which may come from several instances, and two versions of gzip pack the same set
// differently. Besides, a set can so be refused before it is unpacked.
func hashOf(encoded []byte) string {
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:hashLength])
}

// ValidHash reports whether a text has the form of a hash.
func ValidHash(hash string) bool {
	if len(hash) != 2*hashLength {
		return false
	}
	for i := range len(hash) {
		if c := hash[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func encode(set *descriptorpb.FileDescriptorSet) ([]byte, error) {
	plain, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(set)
	if err != nil {
		return nil, err
	}
	if len(plain) > maxUnpacked {
		return nil, fmt.Errorf("the descriptors have %d bytes, more than the %d that are served", len(plain), maxUnpacked)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// collector puts files into a set, those that a file imports before the file.
type collector struct {
	file protoreflect.FileDescriptor // that of the service
	seen map[string]bool             // by the path of the file
	set  descriptorpb.FileDescriptorSet
}

func (c *collector) add(file protoreflect.FileDescriptor) error {
	if c.seen[file.Path()] {
		return nil
	}
	c.seen[file.Path()] = true
	if file.IsPlaceholder() {
		return errors.New("the generated code of " + file.Path() + " is not linked into the program")
	}
	imports := file.Imports()
	for i := range imports.Len() {
		if err := c.add(imports.Get(i).FileDescriptor); err != nil {
			return err
		}
	}
	described := protodesc.ToFileDescriptorProto(file)
	if file != c.file { // a set that was made of another one is the same
		described.SourceCodeInfo = nil
	}
	c.set.File = append(c.set.File, described)
	return nil
}
