package aegis

// SupportsPluginV1 is named by generated code, so that the code compiles only with a
// runtime that it was made for.
const SupportsPluginV1 = true
