//go:build !linux

package linkwatch

import (
	"context"
	"errors"
)

// Open gives an error: interface events are those of Linux.
func Open(context.Context, string) (<-chan string, error) {
	return nil, errors.New("watching interfaces needs Linux")
}
