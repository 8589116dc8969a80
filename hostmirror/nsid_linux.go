package hostmirror

import (
	"context"
	"os"
)

func (n *netlinkAccess) number(ctx context.Context, other *os.File) (int, bool, error) {
	return n.conn.NamespaceID(ctx, int(other.Fd()))
}
