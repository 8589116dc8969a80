package bpfcopy

// Support says whether a kernel takes our programs from this process.
type Support struct {
	// TCX is set where the kernel has tcx, from Linux 6.6.
	TCX bool
	// Err is why programs cannot be made, nil where they can. It wraps what the kernel
	// said.
	Err error
	// Missing are capabilities that this process lacks for it.
	Missing []string
}
