package capture

import "time"

// Options say what is captured.
type Options struct {
	// Namespace is the path of the network namespace, "" = the current one. Another one
	// needs CAP_SYS_ADMIN; capturing needs CAP_NET_RAW.
	Namespace string
	Interface string
	// Name, Description and Filter are written into the file for who reads it.
	Name, Description, Filter string
	// Count ends the capture after so many frames; 0 = no limit.
	Count uint64
	// Buffer is the size of the kernel's buffer in bytes; 0 = 32 MiB. What does not fit
	// while the writer is slow is lost, and counted.
	Buffer int
}

// Result says what became of the frames that were there.
type Result struct {
	Captured uint64 `json:"captured"` // written
	// Dropped were lost, since the buffer was full.
	Dropped uint64 `json:"dropped"`
	// Unsegmented are those of Captured that segmentation offload had not cut yet: on a
	// wire each would be several frames.
	Unsegmented uint64        `json:"unsegmented"`
	Bytes       uint64        `json:"bytes"` // of Captured
	Took        time.Duration `json:"took"`  // nanoseconds
}

const defaultBuffer = 32 << 20
