package store

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"syscall"
)

// processScope names the running kernel and the pid namespace: two containers of
// one host name, or one machine before and after a reboot, differ. It is "" where
// /proc does not tell.
func processScope() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(boot)) + " " + ns
}

// processStart gives the start time of pid in clock ticks since boot, 0 where it
// is unknown, and whether pid runs. A zombie does not: it changes nothing any
// more. See proc_pid_stat(5), fields 3 and 22; field 2 is in parentheses and may
// hold anything.
func processStart(pid int) (start int64, running bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		// /proc may hide the processes of others (mount option hidepid).
		return 0, !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	}
	return parseStat(stat)
}

func parseStat(stat []byte) (start int64, running bool) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, true
	}
	fields := bytes.Fields(stat[end+1:]) // from field 3
	if len(fields) < 20 {
		return 0, true
	}
	if start, _ = strconv.ParseInt(string(fields[19]), 10, 64); start < 0 {
		start = 0
	}
	return start, fields[0][0] != 'Z' && fields[0][0] != 'X'
}
