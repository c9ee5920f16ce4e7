package managed

import (
	"path"
	"regexp"
	"strings"
	"unicode"

	"google.golang.org/protobuf/types/descriptorpb"
)

// before puts a prefix before a name, if there is one and there is a name.
func before(prefix, separator, name string) string {
	if name == "" || prefix == "" {
		return name
	}
	return prefix + separator + name
}

// behind puts a suffix behind a name, if there is one and there is a name.
func behind(name, separator, suffix string) string {
	if name == "" || suffix == "" {
		return name
	}
	return name + separator + suffix
}

// versioned matches a package whose last component is a version, such as shop.v1beta1.
var versioned = regexp.MustCompile(`^.+\.v0*[1-9][0-9]*(?:test.*|(?:p0*[1-9][0-9]*)?(?:alpha|beta)(?:0*[1-9][0-9]*)?)?$`)

// goPackage returns the import path below a prefix. The name of the package is that of the
// last two components if the last one is a version: shopv1 of shop.v1.
func goPackage(f *descriptorpb.FileDescriptorProto, prefix string) string {
	importPath := path.Join(prefix, path.Dir(f.GetName()))
	if versioned.MatchString(f.GetPackage()) {
		parts := strings.Split(f.GetPackage(), ".")
		importPath += ";" + parts[len(parts)-2] + parts[len(parts)-1]
	}
	return importPath
}

func csharpNamespace(f *descriptorpb.FileDescriptorProto) string {
	return pascalParts(f, ".")
}

func rubyPackage(f *descriptorpb.FileDescriptorProto) string {
	return pascalParts(f, "::")
}

func javaOuterClassname(f *descriptorpb.FileDescriptorProto) string {
	return pascal(path.Base(f.GetName()))
}

func phpNamespace(f *descriptorpb.FileDescriptorProto) string {
	if f.GetPackage() == "" {
		return ""
	}
	parts := strings.Split(f.GetPackage(), ".")
	for i, part := range parts {
		parts[i] = pascal(part)
		if phpReserved[strings.ToLower(part)] {
			parts[i] += "_"
		}
	}
	return strings.Join(parts, `\`)
}

// objcClassPrefix returns the first letters of the package's components without its
// version, three at least.
func objcClassPrefix(f *descriptorpb.FileDescriptorProto) string {
	if f.GetPackage() == "" {
		return ""
	}
	parts := strings.Split(f.GetPackage(), ".")
	if versioned.MatchString(f.GetPackage()) {
		parts = parts[:len(parts)-1]
	}
	var letters []rune
	for _, part := range parts {
		letters = append(letters, unicode.ToUpper([]rune(part)[0]))
	}
	for len(letters) < 3 {
		letters = append(letters, 'X')
	}
	if prefix := string(letters); prefix != "GPB" { // Google's own
		return prefix
	}
	return "GPX"
}

func pascalParts(f *descriptorpb.FileDescriptorProto, separator string) string {
	if f.GetPackage() == "" {
		return ""
	}
	parts := strings.Split(f.GetPackage(), ".")
	for i, part := range parts {
		parts[i] = pascal(part)
	}
	return strings.Join(parts, separator)
}

// pascal returns a name in PascalCase.
func pascal(name string) string {
	var b strings.Builder
	var previous rune
	for i, c := range strings.TrimSpace(name) {
		switch {
		case delimits(c):
		case i == 0 || delimits(previous) || unicode.IsUpper(c):
			b.WriteRune(unicode.ToUpper(c))
		default:
			b.WriteRune(unicode.ToLower(c))
		}
		previous = c
	}
	return b.String()
}

func delimits(r rune) bool { return strings.ContainsRune(".-_ \t\n\r", r) }
