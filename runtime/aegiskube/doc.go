// Package aegiskube connects a program outside a Kubernetes cluster to the NATS of the
// cluster, as kubectl port-forward would, so that a developer's machine sees and calls the
// services there, and can run one beside them. Only programs that import it link
// Kubernetes' client.
//
//	conn, err := aegiskube.Connect(ctx, aegiskube.Settings{})
//
// # Which cluster, which NATS
//
// The cluster and its user are those of the kubeconfig, as for kubectl: the files in
// KUBECONFIG, else ~/.kube/config, and the current context unless [Settings] name another.
// The service of NATS is looked for in one namespace: that of Settings, else the context's,
// else "default". It is the one that Settings name, else the one with the annotation or
// label aegisrpc.github.io/nats: "true", else the one with the label
// app.kubernetes.io/name: nats, as NATS's Helm chart has it, else the one named "nats". Of
// several the error lists all.
//
// # How it connects
//
// Each connection of nats.go becomes a stream to a ready pod of the service, over the API
// server: by WebSocket, and by SPDY where the API server or a proxy before it cannot do
// that. No port is opened on this machine, and addresses that NATS tells its clients lead
// through the cluster as well. When the pod goes, the connection ends, and nats.go connects
// to another one.
//
// The user needs these rights in the namespace: get and list services, list endpointslices
// (and watch, to leave a pod that is gone without being told), create (and get, for older
// API servers) pods/portforward, and get secrets where Settings name one.
package aegiskube
