package aegis

// SupportsPluginV1 is what generated code refers to, so that it compiles only
// with a runtime that it was made for.
const SupportsPluginV1 = true
