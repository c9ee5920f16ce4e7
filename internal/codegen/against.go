package codegen

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/internal/spec"
)

// Against compares two images, each of which is a buf image or a FileDescriptorSet with
// its imports. It returns the changes of services and their options that break programs
// that run or messages that are stored. The changes are in the order of their positions,
// and each is formatted like a compiler's error. The error is about the images themselves.
func Against(before, after []byte) ([]string, error) {
	old, err := servicesOf(before)
	if err != nil {
		return nil, fmt.Errorf("the image of before: %w", err)
	}
	now, err := servicesOf(after)
	if err != nil {
		return nil, fmt.Errorf("the image of now: %w", err)
	}
	found := &mistakes{}
	if err := compareAll(old, now, found); err != nil {
		return nil, err
	}
	found.sort()
	lines := make([]string, len(found.all))
	for i, m := range found.all {
		lines[i] = m.Error()
	}
	return lines, nil
}

// services are the services of an image, in order.
type services []protoreflect.ServiceDescriptor

func servicesOf(image []byte) (services, error) {
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(image, set); err != nil {
		return nil, fmt.Errorf("it is no image: build it with buf build -o, or protoc --include_imports --include_source_info -o: %w", err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("its imports have to be in it: build it with buf build -o, or protoc --include_imports --include_source_info -o: %w", err)
	}
	var all services
	for _, f := range set.GetFile() {
		desc, err := files.FindFileByPath(f.GetName())
		if err != nil {
			return nil, err
		}
		all = all.add(desc)
	}
	return all, nil
}

func (s services) add(f protoreflect.FileDescriptor) services {
	for i := range f.Services().Len() {
		s = append(s, f.Services().Get(i))
	}
	return s
}

func (s services) find(name protoreflect.FullName) protoreflect.ServiceDescriptor {
	for _, desc := range s {
		if desc.FullName() == name {
			return desc
		}
	}
	return nil
}

// checkAgainst compares an image of before with the files of a run of the plugin. buf may
// run the plugin for one folder at a time, so a service counts as gone only if its file is
// part of the run.
func checkAgainst(plugin *protogen.Plugin, image string) error {
	data, err := os.ReadFile(image) //nolint:gosec // the user names it
	if err != nil {
		return fmt.Errorf("parameter against: %w", err)
	}
	old, err := servicesOf(data)
	if err != nil {
		return fmt.Errorf("parameter against: %s: %w", image, err)
	}
	var now services
	generated := make(map[string]bool)
	for _, f := range plugin.Files {
		now = now.add(f.Desc)
		generated[f.Desc.Path()] = f.Generate
	}
	old = slices.DeleteFunc(old, func(s protoreflect.ServiceDescriptor) bool {
		return !generated[s.ParentFile().Path()]
	})
	found := &mistakes{}
	if err := compareAll(old, now, found); err != nil {
		return fmt.Errorf("parameter against: %w", err)
	}
	return found.err()
}

// compareAll adds the changes of all services. The error is about services of before that
// this version cannot read.
func compareAll(old, now services, found *mistakes) error {
	var errs []error
	for _, before := range old {
		was, err := spec.FromDescriptor(before)
		if err != nil {
			errs = append(errs, fmt.Errorf("the service %s of before has options that this version refuses; "+
				"compare with the protoc-gen-aegis of then: %w", before.FullName(), err))
			continue
		}
		after := now.find(before.FullName())
		if after == nil {
			found.add(gone(was, old, now))
			continue
		}
		is, err := spec.FromDescriptor(after)
		if err != nil {
			found.add(spec.Problems(err)...)
			continue
		}
		c := &comparison{was: was, is: is, found: found}
		c.compare()
	}
	return errors.Join(errs...)
}

// gone returns the problem of a service that now is gone, at the place where it was.
func gone(was *spec.Service, old, now services) *spec.Problem {
	next := ""
	for _, s := range now {
		if old.find(s.FullName()) == nil && sameMethods(was.Desc, s) {
			next = "; " + string(s.FullName()) + " looks like its new name, which nobody of before calls"
		}
	}
	return spec.At(was.Desc).Problem("the service %s was here, and is gone: its callers find nobody, and what is stored under its name stays there%s; "+
		"keep it beside the new one until nobody uses it, and its streams are empty", was.Name, next)
}

// sameMethods reports whether two services have methods of the same names.
func sameMethods(a, b protoreflect.ServiceDescriptor) bool {
	if a.Methods().Len() != b.Methods().Len() {
		return false
	}
	for i := range a.Methods().Len() {
		if b.Methods().ByName(a.Methods().Get(i).Name()) == nil {
			return false
		}
	}
	return true
}
