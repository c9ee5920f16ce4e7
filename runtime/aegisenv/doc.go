// Package aegisenv connects a program to NATS as its environment says: by the variables
// and the contexts of the nats command line tool. Only programs that import it link what it
// needs, a SOCKS proxy's client.
//
//	conn, err := aegisenv.Connect(ctx)
//
// # Precedence
//
// Each setting comes from the first of these places that has it:
//
//  1. the fields of [Settings], which a program may fill from its flags ([BindFlags])
//  2. the NATS context that Settings.Context names
//  3. the variables of the environment
//  4. the NATS context that NATS_CONTEXT names
//  5. the NATS context that "nats context select" has chosen; see below
//  6. the defaults: nats://127.0.0.1:4222, without authentication, namespace "aegis"
//
// A place that has one way to authenticate hides all ways of the places after it, so that
// --creds is not mixed with NATS_USER. A user without a password takes the password from
// the places after it, and a password without a user the user. Two ways in one place are an
// error. JetStream's domain and its API prefix hide each other likewise.
//
// The selected context counts only where Settings.SelectedContext is set and neither a
// field nor NATS_URL names a server. A person at a terminal, who has selected the context, wants it; a
// service that starts on the same machine must not find itself in production by that.
// So it is on in the aegis command, and off in [Connect]. The password of a selected
// context is never sent to a server that has been named by other means.
//
// # Variables
//
//	NATS_URL                    servers, separated by commas
//	NATS_CONTEXT                a context by its name, or a file that ends in .json
//	NATS_USER, NATS_PASSWORD    a user without a password is a token, as in the nats tool
//	NATS_TOKEN                  a token
//	NATS_CREDS                  file with the user's JWT and seed
//	NATS_NKEY                   file with the seed of an nkey
//	NATS_JWT, NATS_SEED         the JWT of a user and the seed that belongs to it
//	NATS_CERT, NATS_KEY         files with the certificate of the client and its key
//	NATS_CA                     file with the certificates that NATS is trusted by
//	NATS_SOCKS_PROXY            URL of a SOCKS5 proxy
//	AEGIS_NAMESPACE             see aegis.WithNamespace
//	AEGIS_JS_DOMAIN             see aegis.WithJetStreamDomain
//	AEGIS_JS_API_PREFIX         see aegis.WithJetStreamAPIPrefix
//	AEGIS_INBOX_PREFIX          see nats.CustomInboxPrefix
//
// The variables that begin with NATS_ are those of the nats tool, which has none for the
// others. As there, a secret may be given as a reference to where it is kept: file://PATH,
// env://VARIABLE, data:;base64,TEXT, nsc://OPERATOR/ACCOUNT/USER (asks the program nsc) and
// op://VAULT/ITEM/FIELD (asks the program op, 1Password's). A file of credentials is read
// anew for each reconnect, anything else once.
//
// # Where the program runs
//
// [Connect] also finds out where the program runs ([Detect]), logs it in one line, and has
// the servers of the connection tell it in the registry:
//
//	AEGIS_ENVIRONMENT  kubernetes or local; by default kubernetes in a pod
//	AEGIS_INSTANCE     see aegis.WithInstance
//	AEGIS_BUILD        see aegis.WithBuild; else OTEL_SERVICE_VERSION, service.version, and
//	                   what the Go tool has put into the program
//	AEGIS_NODE         see aegis.WithNode; else k8s.node.name, host.name and, in a pod, NODE_NAME
//	AEGIS_ZONE         see aegis.WithZone; else cloud.availability_zone and, in a pod, the
//	                   label topology.kubernetes.io/zone
//	AEGIS_LABELS       KEY=VALUE,KEY=VALUE, see aegis.WithLabels; they win over those of the pod
//	AEGIS_RESERVED     true for aegis.WithReserved
//	AEGIS_REPLICAS     see aegis.WithReplicas
//	AEGIS_PODINFO      folder of the downward API's volume, whose file "labels" has the labels
//	                   of the pod (default /etc/podinfo)
//
// The names with dots are attributes in OTEL_RESOURCE_ATTRIBUTES. In a pod POD_NAME and
// POD_NAMESPACE are logged, too.
//
// # Errors
//
// Each error names the variable, flag, field or file that its value came from. Secrets are
// in no error and no log; a [Settings] is printed without them.
package aegisenv
