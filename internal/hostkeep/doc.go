// Package hostkeep keeps the mirrors of one Linux host as intents and records say,
// with nobody there to ask: after a reboot, when a lease ends, when an interface
// comes, goes or is another one than before.
//
// [Decide] says what a host shall have now. [Watcher] says when to look again.
package hostkeep
