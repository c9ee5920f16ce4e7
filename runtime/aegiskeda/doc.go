// Package aegiskeda is an external scaler for KEDA, which has Kubernetes run as many replicas
// of a service as its waiting work needs, none at all included. `aegis monitor --keda-listen
// ADDRESS` serves it; a program can serve it as well:
//
//	scaler, err := aegiskeda.New(conn)
//	defer scaler.Close()
//	protocols := new(http.Protocols)
//	protocols.SetUnencryptedHTTP2(true) // gRPC is HTTP/2; with TLS it needs no setting
//	server := &http.Server{Addr: ":9090", Handler: scaler, Protocols: protocols}
//	err = server.ListenAndServe()
//
// # Triggers
//
// A trigger of a ScaledObject, of the type external or external-push, says in its metadata
// what is measured:
//
//	triggers:
//	- type: external-push
//	  metadata:
//	    scalerAddress: aegis-monitor.aegis.svc:9090
//	    service: order.v1.OrderService
//	    method: ReconcileBook
//	    metric: waiting
//	    target: "20"
//
// The keys are
//
//	service     full name of the service
//	method      name of the command or event; not for refused
//	metric      what is measured, see below
//	group       name of the group of subscribers; for lag alone
//	target      the value that one replica is for: KEDA asks for value / target replicas
//	activation  the value above which there is a first replica; 0 unless it is given
//
// A key may end in FromEnv, as with other scalers of KEDA. A mistake in the metadata is the
// gRPC status INVALID_ARGUMENT.
//
// # Metrics
//
//	waiting     commands of the method that no worker has been given
//	unfinished  the same, and those that a worker has: they run, or wait for their next attempt
//	age         for how many seconds the oldest of the waiting commands has waited
//	lag         events of the method that were not delivered to the group
//	refused     calls per second that the instances of the service refuse as overloaded, over the
//	            last minute
//
// Where workers have something that is not done, the trigger is active whatever the value and
// the activation are: no replica is taken from under its last work, and what a lost worker
// leaves behind is worked again. A delayed command (NotBefore) begins to wait when it is due. A
// command whose attempt has failed is unfinished, and not waiting. While the work of a method
// is paused, nothing of it waits.
//
// A group that was never there has a lag of 1 if there are events: an instance starts, and
// begins to take them from where the group is to begin. Only instances can refuse calls, so that
// refused never leads away from zero replicas: it wants a minReplicaCount of 1 or more.
//
// # What is not known is no number
//
// While NATS or JetStream do not answer, a stream or consumer has no leader, or that leader has
// not caught up, the answer is the gRPC status UNAVAILABLE: KEDA leaves the replicas as they
// are, or takes the fallback of the ScaledObject. A value of 0 says that somebody who knows has
// answered that nothing is there. StreamIsActive says nothing meanwhile.
package aegiskeda
