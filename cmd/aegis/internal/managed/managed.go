// Package managed changes the options of files as buf's managed mode does. Options that Go
// does not need are changed too, because generated code has the descriptor of its file in
// it, and with it all options.
package managed

import (
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bufconfig"
)

// Apply changes the options of a file that belongs to a module of this name ("" for none).
// The positions of options that it changes are removed, as they are nowhere in the source.
func Apply(rules *bufconfig.Managed, file *descriptorpb.FileDescriptorProto, module string) {
	if !rules.Enabled {
		return
	}
	f := &managedFile{rules: rules, module: module, desc: file}
	f.setBool("cc_enable_arenas", 31, true)
	f.setText("csharp_namespace", 37, naming{value: csharpNamespace(file), prefix: "csharp_namespace_prefix"},
		func(prefix, _ string) string { return before(prefix, ".", csharpNamespace(file)) })
	f.setText("go_package", 11, naming{prefix: "go_package_prefix"},
		func(prefix, _ string) string { return goPackage(file, prefix) })
	if file.GetEdition() < descriptorpb.Edition_EDITION_2024 { // which does not have the option
		f.setBool("java_multiple_files", 10, true)
	}
	f.setText("java_outer_classname", 8, naming{value: javaOuterClassname(file)}, nil)
	f.setText("java_package", 1, naming{defaultPrefix: "com", prefix: "java_package_prefix", suffix: "java_package_suffix"},
		func(prefix, suffix string) string { return behind(before(prefix, ".", file.GetPackage()), ".", suffix) })
	f.setBool("java_string_check_utf8", 27, false)
	f.setText("objc_class_prefix", 36, naming{value: objcClassPrefix(file)}, nil)
	f.setOptimizeFor()
	f.setText("php_metadata_namespace", 44, naming{value: behind(phpNamespace(file), `\`, "GPBMetadata"), suffix: "php_metadata_namespace_suffix"},
		func(_, suffix string) string { return behind(phpNamespace(file), `\`, suffix) })
	f.setText("php_namespace", 41, naming{value: phpNamespace(file)}, nil)
	f.setText("ruby_package", 45, naming{value: rubyPackage(file), suffix: "ruby_package_suffix"},
		func(_, suffix string) string { return behind(rubyPackage(file), "::", suffix) })
	f.setText("swift_prefix", 39, naming{}, nil)
}

// managedFile is a file whose options are changed.
type managedFile struct {
	rules  *bufconfig.Managed
	module string
	desc   *descriptorpb.FileDescriptorProto
}

// naming says how the value of an option comes about that no rule gives.
type naming struct {
	value         string // the value without any rule
	defaultPrefix string // the prefix without any rule
	// prefix and suffix are the options whose rules give a prefix or suffix; "" for none.
	prefix, suffix string
}

// matches reports whether a rule is for this file.
func (f *managedFile) matches(r bufconfig.Rule) bool {
	if r.Path != "" {
		if _, ok := bufconfig.Below(r.Path, f.desc.GetName()); !ok {
			return false
		}
	}
	return r.Module == "" || r.Module == f.module
}

// disabled reports whether an option of this file stays as it is.
func (f *managedFile) disabled(option string) bool {
	return slices.ContainsFunc(f.rules.Disable, func(r bufconfig.Rule) bool {
		return (r.FileOption == "" || r.FileOption == option) && f.matches(r)
	})
}

// setText gives an option of text its value: that of the last rule for it, else one that
// build makes of the prefix and suffix of the last rules for these.
func (f *managedFile) setText(option string, number int32, n naming, build func(prefix, suffix string) string) {
	if f.disabled(option) {
		return
	}
	usesPrefix := n.prefix != "" && !f.disabled(n.prefix)
	usesSuffix := n.suffix != "" && !f.disabled(n.suffix)
	value, prefix, suffix := n.value, n.defaultPrefix, ""
	if !usesPrefix {
		prefix = ""
	}
	for _, r := range f.rules.Override {
		text, _ := r.Value.(string)
		switch {
		case !f.matches(r):
		case r.FileOption == option:
			value, prefix, suffix = text, "", ""
		case usesPrefix && r.FileOption == n.prefix:
			value, prefix = "", text
		case usesSuffix && r.FileOption == n.suffix:
			value, suffix = "", text
		}
	}
	if value == "" && (prefix != "" || suffix != "") {
		value = build(prefix, suffix)
	}
	if value == "" {
		return
	}
	options := f.options()
	reflected := options.ProtoReflect()
	field := reflected.Descriptor().Fields().ByNumber(protoreflect.FieldNumber(number))
	if reflected.Get(field).String() != value {
		reflected.Set(field, protoreflect.ValueOfString(value))
		f.changed(number, options)
	}
}

// setBool gives an option that is true or false its value: that of the last rule for it,
// else usual.
func (f *managedFile) setBool(option string, number int32, usual bool) {
	if f.disabled(option) {
		return
	}
	value := usual
	for _, r := range f.rules.Override {
		if b, ok := r.Value.(bool); ok && r.FileOption == option && f.matches(r) {
			value = b
		}
	}
	options := f.options()
	reflected := options.ProtoReflect()
	field := reflected.Descriptor().Fields().ByNumber(protoreflect.FieldNumber(number))
	if reflected.Get(field).Bool() != value {
		reflected.Set(field, protoreflect.ValueOfBool(value))
		f.changed(number, options)
	}
}

func (f *managedFile) setOptimizeFor() {
	if f.disabled("optimize_for") {
		return
	}
	value := descriptorpb.FileOptions_SPEED
	for _, r := range f.rules.Override {
		if name, ok := r.Value.(string); ok && r.FileOption == "optimize_for" && f.matches(r) {
			value = descriptorpb.FileOptions_OptimizeMode(descriptorpb.FileOptions_OptimizeMode_value[name])
		}
	}
	if options := f.options(); options.GetOptimizeFor() != value {
		options.OptimizeFor = value.Enum()
		f.changed(9, options)
	}
}

// options returns the options of the file, or new ones that changed gives it.
func (f *managedFile) options() *descriptorpb.FileOptions {
	if options := f.desc.GetOptions(); options != nil {
		return options
	}
	return &descriptorpb.FileOptions{}
}

// changed stores options after a change, and removes the position of the option: the
// statement, and the entry of the list of options before it.
func (f *managedFile) changed(number int32, options *descriptorpb.FileOptions) {
	f.desc.Options = options
	info := f.desc.GetSourceCodeInfo()
	if info == nil {
		return
	}
	const fileOptions = 8
	var kept []*descriptorpb.SourceCodeInfo_Location
	for _, location := range info.GetLocation() {
		if slices.Equal(location.GetPath(), []int32{fileOptions, number}) {
			if last := len(kept) - 1; last >= 0 && slices.Equal(kept[last].GetPath(), []int32{fileOptions}) {
				kept = kept[:last]
			}
			continue
		}
		kept = append(kept, location)
	}
	info.Location = kept
}
