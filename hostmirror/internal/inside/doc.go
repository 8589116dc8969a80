// Package inside runs functions in network namespaces.
package inside
