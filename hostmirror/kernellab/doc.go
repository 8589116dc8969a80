// Package kernellab holds run.sh, which runs a test binary as root inside a
// throw-away virtual machine with a distribution's kernel. It is the -exec program of
// go test; see the script for what it needs and what can be set.
package kernellab
