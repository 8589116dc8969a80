// Package capture writes the frames that an interface sends to a pcapng file: the
// copies that mirrors put into an interface that leads nowhere.
//
// Frames are as they would be on a wire: the VLAN tag that the kernel keeps beside a
// frame is put back into it, and a checksum that was left to hardware is worked out.
// Frames that segmentation offload has not cut yet stay whole, so that a file can hold
// frames of 64 KiB and more.
package capture
