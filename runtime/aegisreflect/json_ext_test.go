package aegisreflect_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	// The types that anything.proto imports.
	_ "google.golang.org/protobuf/types/known/fieldmaskpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
	"google.golang.org/protobuf/encoding/prototext"
)

// anything is a file with a field of each kind.
const anything = `
name: "anything.proto" package: "any.v1" syntax: "proto3"
dependency: ["google/protobuf/any.proto", "google/protobuf/duration.proto", "google/protobuf/field_mask.proto",
  "google/protobuf/struct.proto", "google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto"]
message_type: {
  name: "Thing"
  field: [
    {name: "text" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL},
    {name: "small_number" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL},
    {name: "big" number: 3 type: TYPE_UINT64 label: LABEL_OPTIONAL},
    {name: "real" number: 4 type: TYPE_DOUBLE label: LABEL_OPTIONAL},
    {name: "yes" number: 5 type: TYPE_BOOL label: LABEL_OPTIONAL},
    {name: "data" number: 6 type: TYPE_BYTES label: LABEL_OPTIONAL},
    {name: "colour" number: 7 type: TYPE_ENUM type_name: ".any.v1.Colour" label: LABEL_OPTIONAL},
    {name: "inner" number: 8 type: TYPE_MESSAGE type_name: ".any.v1.Thing" label: LABEL_OPTIONAL},
    {name: "things" number: 9 type: TYPE_MESSAGE type_name: ".any.v1.Thing" label: LABEL_REPEATED},
    {name: "numbers" number: 10 type: TYPE_INT64 label: LABEL_REPEATED},
    {name: "by_name" number: 11 type: TYPE_MESSAGE type_name: ".any.v1.Thing.ByNameEntry" label: LABEL_REPEATED},
    {name: "any" number: 12 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL},
    {name: "wait" number: 13 type: TYPE_MESSAGE type_name: ".google.protobuf.Duration" label: LABEL_OPTIONAL},
    {name: "at" number: 14 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL},
    {name: "mask" number: 15 type: TYPE_MESSAGE type_name: ".google.protobuf.FieldMask" label: LABEL_OPTIONAL},
    {name: "free" number: 16 type: TYPE_MESSAGE type_name: ".google.protobuf.Struct" label: LABEL_OPTIONAL},
    {name: "maybe" number: 17 type: TYPE_MESSAGE type_name: ".google.protobuf.Int64Value" label: LABEL_OPTIONAL},
    {name: "list" number: 18 type: TYPE_MESSAGE type_name: ".google.protobuf.ListValue" label: LABEL_OPTIONAL}
  ]
  nested_type: {
    name: "ByNameEntry" options: {map_entry: true}
    field: [
      {name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL},
      {name: "value" number: 2 type: TYPE_MESSAGE type_name: ".any.v1.Thing" label: LABEL_OPTIONAL}
    ]
  }
}
enum_type: {name: "Colour" value: {name: "COLOUR_NONE" number: 0} value: {name: "COLOUR_RED" number: 1} value: {name: "COLOUR_BLUE" number: 2}}
service: {name: "ThingService" method: {name: "Do" input_type: ".any.v1.Thing" output_type: ".any.v1.Thing"}}
`

// thing returns the method whose request has a field of each kind.
func thing(t testing.TB) *aegisreflect.Method {
	t.Helper()
	var file descriptorpb.FileDescriptorProto
	require.NoError(t, prototext.Unmarshal([]byte(anything), &file))
	described, err := protodesc.NewFile(&file, protoregistry.GlobalFiles)
	require.NoError(t, err)
	files, err := protodesc.NewFiles(&descriptorpb.FileDescriptorSet{File: append(imports(t, described), &file)})
	require.NoError(t, err)
	r := aegisreflect.New(connect(t))
	r.Use(files)
	return find(t, r, "any.v1.ThingService", "Do")
}

func TestJSONIsReadAndWrittenWithAllTypes(t *testing.T) {
	t.Parallel()
	m := thing(t)
	const full = `{"text":"t","smallNumber":-1,"big":"18446744073709551615","real":1.5,"yes":true,"data":"AQI=","colour":"COLOUR_RED",` +
		`"inner":{"text":"i"},"things":[{"text":"a"},{}],"numbers":["1","2"],"byName":{"x":{"text":"v"}},` +
		`"any":{"@type":"type.googleapis.com/any.v1.Thing","text":"in any"},"wait":"1.500s","at":"2026-01-02T03:04:05Z","mask":"text,inner.text",` +
		`"free":{"a":[1,null]},"maybe":"7","list":[true,"x"]}`
	msg := request(t, m, full)
	require.JSONEq(t, full, text(t, m, msg))
	require.JSONEq(t, full, text(t, m, request(t, m, strings.ReplaceAll(full, "smallNumber", "small_number"))))
	require.Equal(t, "{}", text(t, m, request(t, m, " \n")))

	// A type of the program, which the descriptors do not have, and one that nobody has.
	packed, err := anypb.New(&descriptorpb.FileDescriptorProto{Name: proto.String("x")})
	require.NoError(t, err)
	require.JSONEq(t, `{"@type": "type.googleapis.com/google.protobuf.FileDescriptorProto", "name": "x"}`, text(t, m, packed))
	packed.TypeUrl = "type.googleapis.com/nobody.Knows"
	require.JSONEq(t, `{"@type": "type.googleapis.com/nobody.Knows"}`, text(t, m, packed))
	require.Equal(t, `"3s"`, text(t, m, durationpb.New(3e9)))
	_, err = m.Service().JSON(nil)
	require.Equal(t, aegis.CodeInternal, aegis.CodeOf(err))
	packed.TypeUrl, packed.Value = "type.googleapis.com/any.v1.Thing", []byte{0xff}
	_, err = m.Service().JSON(packed)
	require.ErrorContains(t, err, "cannot be written as JSON")
}

func TestJSONErrorsSayWhereAndWhat(t *testing.T) {
	t.Parallel()
	m := thing(t)
	for _, c := range []struct{ json, want string }{
		{`[]`, `line 1, column 1: expected an object (any.v1.Thing), found [`},
		{`"x"`, `line 1, column 1: expected an object (any.v1.Thing), found "x"`},
		{`{"text": 1}`, `line 1, column 10: text: expected a string, found 1`},
		{`{"smallNumber": "x"}`, `line 1, column 17: smallNumber: expected an integer (int32), found "x"`},
		{`{"small_number": 1.5}`, `line 1, column 18: small_number: expected an integer (int32), found 1.5`},
		{`{"smallNumber": 3000000000}`, `line 1, column 17: smallNumber: expected an integer (int32), found 3000000000`},
		{`{"big": -1}`, `line 1, column 9: big: expected an integer (uint64), found -1`},
		{`{"real": true}`, `line 1, column 10: real: expected a number (double), found true`},
		{`{"yes": "true"}`, `line 1, column 9: yes: expected true or false, found "true"`},
		{`{"data": "!"}`, `line 1, column 10: data: expected a string in base64, found "!"`},
		{`{"colour": "COLOR_RED"}`, `line 1, column 12: colour: expected a value of any.v1.Colour, found "COLOR_RED"; did you mean COLOUR_RED`},
		{`{"colour": "PURPLE_RAIN"}`, `found "PURPLE_RAIN"; the values are COLOUR_NONE, COLOUR_RED, COLOUR_BLUE`},
		{"{\n  \"inner\": {\"text\": \"é\", \"txt\": 1}}", `line 2, column 26: inner: any.v1.Thing has no field "txt"; did you mean text`},
		{`{"smalNumber": 1}`, `line 1, column 2: any.v1.Thing has no field "smalNumber"; did you mean smallNumber?`},
		{`{"inner": 1}`, `line 1, column 11: inner: expected an object (any.v1.Thing), found 1`},
		{`{"things": {}}`, `line 1, column 12: things: expected an array, of which each element is an object (any.v1.Thing), found {`},
		{`{"things": [{}, {"yes": 3}]}`, `line 1, column 25: things[1].yes: expected true or false, found 3`},
		{`{"things": [{}, 5]}`, `line 1, column 17: things[1]: expected an object (any.v1.Thing), found 5`},
		{`{"numbers": [1, 2, "x"]}`, `line 1, column 20: numbers[2]: expected an integer (int64), found "x"`},
		{`{"byName": []}`, `line 1, column 12: byName: expected an object (map), found [`},
		{`{"byName": {"a": {}, "b": {"yes": 0}}}`, `line 1, column 35: byName["b"].yes: expected true or false, found 0`},
		{`{"byName": {"a": 1}}`, `line 1, column 18: byName["a"]: expected an object (any.v1.Thing), found 1`},
		{`{"wait": "soon"}`, `line 1, column 10: wait: expected a duration such as "1.5s", found "soon"`},
		{`{"wait": 5}`, `line 1, column 10: wait: expected a duration such as "1.5s", found 5`},
		{`{"at": "today"}`, `line 1, column 8: at: expected a time such as "2006-01-02T15:04:05Z", found "today"`},
		{`{"mask": 1}`, `line 1, column 10: mask: expected paths of fields such as "id,order.price", found 1`},
		{`{"free": 1}`, `line 1, column 10: free: expected an object (google.protobuf.Struct), found 1`},
		{`{"list": 1}`, `line 1, column 10: list: expected an array, found 1`},
		{`{"maybe": "x"}`, `line 1, column 11: maybe: expected an integer (int64), found "x"`},
		{`{"any": {"@type": "x.Y"}}`, `any`},
		{`{"any": 1}`, `line 1, column 9: any: expected an object with "@type", found 1`},
		{`{"text": "a", "text": "b"}`, `line 1, column 15: duplicate field "text"`},
		{`{"text": "a"`, `line 1, column 13: the JSON ends too early`},
		{`{"things": [{"text": "a"`, `column 25: things[0]: the JSON ends too early`},
		{`{"text": nul}`, `line 1, column 10: text: `},
		{`{"text" "x"}`, `line 1, column 9: `},
		{`{} {}`, `line 1, column 4: `},
		{`{"text": "` + strings.Repeat("x", 100), `line 1, column `},
		{`{"smallNumber": "` + strings.Repeat("é", 100) + `"}`, `found "` + strings.Repeat("é", 59) + `...`},
		{"\xff", `line 1, column 1: `},
	} {
		_, err := m.Request([]byte(c.json))
		require.Error(t, err, c.json)
		var e *aegisreflect.JSONError
		require.ErrorAs(t, err, &e, c.json)
		require.Contains(t, e.Error(), c.want, c.json)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
		require.ErrorContains(t, err, "the JSON of any.v1.Thing for any.v1.ThingService.Do: ")
	}
}

// The reading of JSON, and the errors about it, take any bytes.
func FuzzRequest(f *testing.F) {
	m := thing(f)
	for _, seed := range []string{
		`{"text": "a", "things": [{}, {"yes": 1}]}`, `{"byName": {"a": {"inner": {"any": {"@type": "x"}}}}}`, `[[[`, `{"a":`, `{]}`, `}`, "\xff\xfe", `{"numbers": [1,,2]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		req, err := m.Request(data)
		if err != nil {
			var e *aegisreflect.JSONError
			if !errors.As(err, &e) || e.Error() == "" {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		line, err := m.Service().JSON(req)
		if err != nil {
			return // such as a google.protobuf.Value with no value
		}
		again, err := m.Request(line)
		if err != nil || !proto.Equal(req, again) && !strings.Contains(string(line), "NaN") {
			t.Fatalf("%q became %q: %v", data, line, err)
		}
	})
}
