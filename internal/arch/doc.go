// Package arch holds the test that keeps the import rules of this module: which
// package may import which, and where a third-party library may be used. The table
// of the rules is in the test; a new package needs a line there.
package arch
