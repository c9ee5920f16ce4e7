package election

// mutation leaves out one rule, so that the tests can show that the simulation
// notices. Only tests set it.
type mutation uint8

const (
	intact mutation = iota

	// Each leaves out one of the rules of the package's documentation.
	noLeaseMargin        // S2 without the margin
	noWindowMargin       // S5 without the margin
	staleNoResponders    // S5 (c): "no responders" about what is not current
	absenceReleases      // S3
	keyWithoutCreation   // the bucket's creation time is not in the key
	releaseByDelete      // L7
	termFromRecord       // the wall clock does not lift the term
	ackOnAnyConnection   // L2: the connection at the acknowledgement
	noGeneration         // the generation is not in the identity
	contactOverReconnect // L3: the connection at the echo
	neverResign          // L6
	anyServer            // S5 (b): the same NATS server
	instanceIsIdentity   // the name in place of the process
	leaseFromAck         // L2: the time before the write
	timerRunsOn          // S2: each revision restarts the timer
	unearned             // S5 (a)
	ownLeaseOnly         // S8

	// Beyond the table.
	noWallClock  // L8
	createLeads  // S3: a create leads, in place of a vacant record
	noWindowWait // S5: the wait
	unproven     // L9
	restActs     // L3: a leader that rests hears itself before it acts
	mutations
)
