// Package nsname finds the network namespaces of a Linux host by the names that people
// use: netns:NAME as ip netns lists it, and container:NAME as the Docker-compatible
// service of the host knows it (Docker Engine, Podman), which is asked over its unix
// socket for the container's process.
//
// What is found is an open file. It stays the namespace that was meant whatever
// becomes of the name and of the process. Finding needs the right to talk to the
// service's socket and, for a process of somebody else, CAP_SYS_PTRACE; entering what
// was found needs CAP_SYS_ADMIN.
package nsname
