// Package linkwatch tells when interfaces of a network namespace come, go or are
// renamed.
package linkwatch
