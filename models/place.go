package models

import (
	"fmt"
	"strings"
)

// Prefixes of places: see CutPlace.
const (
	PlaceContainer = "container:" // by its name at the Docker-compatible service of the host
	PlaceNetNS     = "netns:"     // by its name among those that ip netns lists
)

// maxPlaceName is the longest NAME in bytes: that of a file.
const maxPlaceName = 255

// CutPlace takes apart the name of a port that is in another network namespace than
// its Linux host's own: "container:web/eth0" gives place "container:web" and port
// "eth0". A name without one of the prefixes gives ok = false: it is an ordinary port.
// What begins as a place but is none gives ok too, and PlaceError says what is wrong.
func CutPlace(name string) (place, port string, ok bool) {
	if !strings.HasPrefix(name, PlaceContainer) && !strings.HasPrefix(name, PlaceNetNS) {
		return "", name, false
	}
	place, port, _ = strings.Cut(name, "/")
	return place, port, true
}

// JoinPlace is the inverse of CutPlace; the place "" stands for the host's own
// namespace.
func JoinPlace(place, port string) string {
	if place == "" {
		return port
	}
	return place + "/" + port
}

// PlaceError gives what is wrong with a place as CutPlace gave it. Containers are
// named as Docker and Podman allow it, namespaces as files are.
func PlaceError(place string) error {
	name, container := strings.CutPrefix(place, PlaceContainer)
	if !container {
		name = strings.TrimPrefix(place, PlaceNetNS)
	}
	switch {
	case name == "" || len(name) > maxPlaceName:
		return fmt.Errorf("%q: want a name of 1 to %d characters behind the colon", place, maxPlaceName)
	case container && strings.IndexFunc(name, notOfContainer) >= 0, container && strings.ContainsAny(name[:1], "_.-"):
		return fmt.Errorf("%q: the name of a container has letters, digits and, behind the first, _ . and -", place)
	case name == ".", name == "..", name[0] == '-', strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' }):
		return fmt.Errorf("%q: a network namespace is named like a file, without blanks, and does not begin with -", place)
	}
	return nil
}

func notOfContainer(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_.-", r)
}
