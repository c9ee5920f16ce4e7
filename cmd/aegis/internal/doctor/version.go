package doctor

import (
	"github.com/aegisrpc/aegis/internal/natsversion"
)

// The oldest servers with which a pattern works, as docs/protocol.md has them.
var (
	oldestForCalls      = natsversion.Version{2, 9, 0}
	oldestForPartitions = natsversion.Version{2, 10, 0} // the number of partitions is compared from here on
	oldestForTracing    = natsversion.Version{2, 11, 0} // a message can be sent that NATS delivers to nobody
	oldestForCommands   = natsversion.Version{2, 12, 0}
)
