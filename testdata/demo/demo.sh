#!/bin/sh
# The main job on the embedded lab, step by step: simulated Arista EOS switches from
# a containerlab topology, an intent per kind of mirror, and frames that prove them.
#   demo.sh BIN     BIN is the folder of spanctl and spanlab
# Needs no root. Everything it writes is in a folder of its own that goes at the end.
set -eu
bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
topology=$here/../labs/leafspine.clab.yml
work=$(mktemp -d)
lab=
end() {
	status=$?
	trap - EXIT INT TERM
	[ -z "$lab" ] || { kill "$lab" 2>/dev/null && wait "$lab" 2>/dev/null; } || true
	rm -rf "$work"
	[ "$status" -eq 0 ] || echo "demo: failed (status $status)" >&2
	exit "$status"
}
trap end EXIT
trap 'exit 130' INT TERM
cd "$work"

n=0
step() { n=$((n + 1)); printf '\n== %d. %s\n' "$n" "$1"; }
# run COMMAND... shows and runs it; want N COMMAND... wants status N.
run() { want 0 "$@"; }
want() {
	expected=$1; shift
	printf '$ %s\n' "$*"
	got=0; "$@" || got=$?
	[ "$got" -eq "$expected" ] || { echo "demo: status $got, want $expected" >&2; exit 1; }
}
spanctl() { "$bin/spanctl" --inventory inventory.yaml --store store.db --no-progress "$@"; }
spanlab() { sub=$1; shift; "$bin/spanlab" "$sub" --ready-file lab.json "$@"; }
configs() { for d in leaf1 leaf2 leaf3; do spanlab config "$d" >"$1.$d"; done; }

step "Start the lab: five simulated EOS switches, four hosts and a collector, as containerlab would"
"$bin/spanlab" up "$topology" --inventory inventory.yaml --ready-file lab.json >lab.log 2>&1 &
lab=$!
"$bin/spanlab" nodes --ready-file lab.json --wait 30s >/dev/null
grep -E '^(NODE|leaf|spine|collector)' lab.log
configs before
cp -r "$here/intents" .
control=$(sed -n 's/^control: //p' lab.log)

step "Reach every switch over SSH, check its host key, and ask what it is"
run spanctl devices

step "Check the intents offline: schema, names, what the platform can do, conflicts"
run spanctl validate intents

step "Show the change as the switches' own lines, send nothing (status 2: there are changes)"
want 2 spanctl plan intents

step "Apply: on all devices or on none, with the switches' own timer as the way back"
run spanctl apply --yes intents

step "Prove it: frames go through the lab both ways, and copies are counted at the collector"
run spanctl verify intents --lab "$control"

step "Plan again: nothing is left to do (status 0)"
run spanctl plan intents

step "Somebody changes a mirror by hand, at the switch's own command line"
run spanlab cli leaf1 enable configure "monitor session sp-web-rx source Ethernet11 tx" end exit
echo

step "Drift finds it (status 2)"
want 2 spanctl drift

step "Who mirrors what, and until when"
run spanctl status

step "Delete the intents: the copies stop, sources first"
run spanctl delete --yes web-rx mail-tx dns-both

step "The switches' configurations are what they were before, byte for byte"
configs after
for d in leaf1 leaf2 leaf3; do
	run cmp "before.$d" "after.$d"
done
echo
echo "demo: done"
