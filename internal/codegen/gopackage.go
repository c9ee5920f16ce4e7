package codegen

import (
	"fmt"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// goPackages checks the Go packages of a request's files. It looks at the request
// and not at protogen's files, because protogen refuses some values itself, without
// their position.
type goPackages struct {
	files map[string]*descriptorpb.FileDescriptorProto // by name
	// given has the values of the M parameters, by file. They override go_package.
	given map[string]string
	found *mistakes
}

// checkGoPackages returns the mistakes in Go packages that generated code cannot import.
func checkGoPackages(req *pluginpb.CodeGeneratorRequest) *mistakes {
	c := &goPackages{
		files: make(map[string]*descriptorpb.FileDescriptorProto, len(req.GetProtoFile())),
		given: make(map[string]string),
		found: &mistakes{},
	}
	for _, f := range req.GetProtoFile() {
		c.files[f.GetName()] = f
	}
	for param := range strings.SplitSeq(req.GetParameter(), ",") {
		name, value, _ := strings.Cut(param, "=")
		if file, ok := strings.CutPrefix(name, "M"); ok {
			c.given[file] = value
		}
	}
	for _, f := range req.GetProtoFile() {
		c.checkOwn(f)
	}
	checked := make(map[string]bool)
	for _, name := range req.GetFileToGenerate() {
		if len(c.files[name].GetService()) > 0 {
			c.checkWithImports(name, checked)
		}
	}
	return c.found
}

// checkWithImports checks a file and every file that it imports, directly or not: the
// code of the messages imports the Go packages of all of them.
func (c *goPackages) checkWithImports(name string, checked map[string]bool) {
	f := c.files[name]
	if f == nil || checked[name] {
		return
	}
	checked[name] = true
	if wrong := wrongGoPackage(c.of(f)); wrong != "" {
		c.add(f, wrong)
	}
	for _, imported := range f.GetDependency() {
		c.checkWithImports(imported, checked)
	}
}

// of returns the import path of a file's Go package, and the name of the package if
// the user has given one.
func (c *goPackages) of(f *descriptorpb.FileDescriptorProto) (importPath, name string) {
	importPath, name, _ = strings.Cut(f.GetOptions().GetGoPackage(), ";")
	givenPath, givenName, _ := strings.Cut(c.given[f.GetName()], ";")
	if givenPath != "" {
		importPath = givenPath
	}
	if givenName != "" {
		name = givenName
	}
	return importPath, name
}

// checkOwn refuses another Go package for Aegis's own files: the runtime links them,
// and a program can link them only once.
func (c *goPackages) checkOwn(f *descriptorpb.FileDescriptorProto) {
	if !isOwnFile(f) {
		return
	}
	opts, _ := aegisv1.File_aegis_v1_options_proto.Options().(*descriptorpb.FileOptions)
	own, _, _ := strings.Cut(opts.GetGoPackage(), ";")
	importPath, _ := c.of(f)
	if importPath == own {
		return
	}
	instead := fmt.Sprintf("write go_package = %q", own)
	switch {
	case c.given[f.GetName()] != "":
		instead = fmt.Sprintf("leave out the parameter M%s", f.GetName())
	case position(f, goPackageOption) == nil: // buf removes the position of an option that it has changed
		instead = "with buf's managed mode, write \"disable: [{path: aegis}]\" below \"managed:\" in buf.gen.yaml " +
			"(the path in the import, which proto/aegis is not)"
	}
	c.add(f, fmt.Sprintf("the Go package of Aegis's own file is to be %q, but the runtime has it as %q, and the generated code would not compile "+
		"or panic when it starts; %s", importPath, own, instead))
}

// isOwnFile reports whether a file is one of aegis/v1, wherever a workspace has it.
func isOwnFile(f *descriptorpb.FileDescriptorProto) bool {
	own := aegisv1.File_aegis_v1_options_proto
	if f.GetPackage() != string(own.Package()) {
		return false
	}
	_, err := protoregistry.GlobalFiles.FindFileByPath(path.Join(path.Dir(own.Path()), path.Base(f.GetName())))
	return err == nil
}

// The field numbers of descriptor.proto that lead to a file's go_package and package.
var (
	goPackageOption  = []int32{8, 11}
	packageStatement = []int32{2}
)

// position returns the span of a statement; nil if the compiler gave none.
func position(f *descriptorpb.FileDescriptorProto, statement []int32) []int32 {
	for _, loc := range f.GetSourceCodeInfo().GetLocation() {
		if slices.Equal(loc.GetPath(), statement) && len(loc.GetSpan()) >= 2 {
			return loc.GetSpan()
		}
	}
	return nil
}

// add adds a mistake in a file's Go package, at the statement that gives it.
func (c *goPackages) add(f *descriptorpb.FileDescriptorProto, text string) {
	m := &mistake{path: f.GetName(), text: text}
	span := position(f, goPackageOption)
	switch {
	case c.given[f.GetName()] != "":
		span, m.text = nil, "parameter M"+f.GetName()+": "+text
	case f.GetOptions().GetGoPackage() == "":
		span = position(f, packageStatement)
	}
	if span != nil {
		m.line, m.column = int(span[0])+1, int(span[1])+1
	}
	c.found.all = append(c.found.all, m)
}

// wrongGoPackage says why generated code cannot import a package, and what to write
// instead; "" if it can.
func wrongGoPackage(importPath, name string) string {
	const whole = "the import path of the package that will hold the messages: the module's path in go.mod and the folder in it"
	switch wrong := wrongImportPath(importPath); {
	case importPath == "":
		return "go_package is missing; write " + whole + `, such as option go_package = "example.com/hello/gen/hello/v1;hellov1"`
	case wrong != "":
		return fmt.Sprintf("go_package: %q is no import path, as it %s; write %s, such as %q", importPath, wrong, whole, likelyImportPath(importPath))
	case name != "" && (!token.IsIdentifier(name) || name == "_"):
		return fmt.Sprintf("go_package: %q, behind the semicolon, is no name of a Go package; write a name of letters and digits, such as %q, or none",
			name, importPath+";"+likelyName(name))
	}
	return ""
}

// windowsName matches the elements that Go refuses because of Windows.
var windowsName = regexp.MustCompile(`(?i)^(?:(?:con|prn|aux|nul|com[1-9]|lpt[1-9])|[^.]*~[0-9]+)(?:\..*)?$`)

// wrongImportPath says why Go does not import a path from a module; "" if it does.
func wrongImportPath(importPath string) string {
	if strings.Contains(importPath, "://") {
		return "is a URL"
	}
	for _, r := range importPath {
		if r != '/' && !inImportPath(r) {
			return fmt.Sprintf("has the character %q", r)
		}
	}
	for i, element := range strings.Split(importPath, "/") {
		switch {
		case element == "" && i == 0:
			return "begins with a slash"
		case element == "" && strings.HasSuffix(importPath, "/") && !strings.Contains(importPath, "//"):
			return "ends with a slash"
		case element == "":
			return "has two slashes in a row"
		case strings.Trim(element, ".") == "":
			return "is relative"
		case strings.HasSuffix(element, "."):
			return fmt.Sprintf("has the element %q, which ends with a dot", element)
		case element[0] == '-' && i == 0:
			return "begins with a minus"
		case windowsName.MatchString(element):
			return fmt.Sprintf("has the element %q, which is no name on Windows and refused by Go everywhere", element)
		}
	}
	if !strings.ContainsAny(importPath, "./") {
		return "is a single name"
	}
	return ""
}

// inImportPath reports whether Go allows a character in an element of an import path.
func inImportPath(r rune) bool {
	return isLetterOrDigit(r) || strings.ContainsRune("-._~+", r)
}

// isLetterOrDigit reports whether r is an ASCII letter or digit.
func isLetterOrDigit(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// likelyImportPath returns an example of an import path that is similar to a wrong one.
func likelyImportPath(wrong string) string {
	if _, after, ok := strings.Cut(wrong, "://"); ok {
		wrong = after
	}
	var elements []string
	for _, element := range strings.FieldsFunc(wrong, func(r rune) bool { return strings.ContainsRune(`/\ `, r) }) {
		element = strings.Map(func(r rune) rune {
			if inImportPath(r) {
				return r
			}
			return -1
		}, element)
		if windowsName.MatchString(element) {
			element = "pb"
		}
		if element = strings.TrimLeft(strings.TrimRight(element, "."), "-"); element != "" {
			elements = append(elements, element)
		}
	}
	switch {
	case len(elements) == 0:
		return "example.com/hello/pb"
	case len(elements) == 1:
		return "example.com/hello/" + elements[0]
	case !strings.Contains(elements[0], "."):
		return "example.com/" + strings.Join(elements, "/")
	}
	return strings.Join(elements, "/")
}

// likelyName returns an example of a package's name that is similar to a wrong one.
func likelyName(wrong string) string {
	name := strings.Map(func(r rune) rune {
		if isLetterOrDigit(r) {
			return r
		}
		return -1
	}, wrong)
	if name = strings.TrimLeft(name, "0123456789"); !token.IsIdentifier(name) {
		name += "pb"
	}
	return name
}
