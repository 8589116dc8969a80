#!/bin/sh
# The same intents on a switch of each platform: what they become, what is refused and
# why, and frames that prove the rest.
#   all.sh BIN     BIN is the folder of spanctl and spanlab
# Needs no root. Everything it writes is in a folder of its own that goes at the end.
set -eu
bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
topology=$here/../labs/platforms.clab.yml
switches="eos1 cat1 n9k1 sonic1"
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
run() {
	printf '$ %s\n' "$*"
	"$@"
}
spanctl() { "$bin/spanctl" --inventory inventory.yaml --store store.db --no-progress "$@"; }
spanlab() { sub=$1; shift; "$bin/spanlab" "$sub" --ready-file lab.json "$@"; }
configs() { for d in $switches; do spanlab config "$d" >"$1.$d"; done; }

step "Start the lab: one simulated switch of each platform"
"$bin/spanlab" up "$topology" --inventory inventory.yaml --ready-file lab.json >lab.log 2>&1 &
lab=$!
"$bin/spanlab" nodes --ready-file lab.json --wait 30s >/dev/null
configs before
control=$(sed -n 's/^control: //p' lab.log)
run spanctl devices

step "The same three intents for each: a local port, ERSPAN, plain GRE"
# intent NAME DEVICE DESTINATION: the lab's names of ports are the same everywhere.
intent() {
	cat >"$1.yaml" <<END
apiVersion: spanctl/v1
kind: Mirror
metadata: {name: $1, owner: demo}
spec:
  sources: [{device: $2, interfaces: [eth1], direction: both}]
  destination: $3
  expires: 1h
END
}
id=0
for d in $switches; do
	id=$((id + 1))
	intent "$d-local" "$d" "{interface: {device: $d, name: eth3}}"
	intent "$d-erspan" "$d" "{erspan: {address: 10.9.$id.9, version: 2, sessionId: $((100 + id))}}"
	intent "$d-gre" "$d" "{gre: {address: 10.9.$id.9}}"
done
cat sonic1-gre.yaml

step "What each platform can do of it, and why not the rest"
accepted=
for d in $switches; do
	for what in local erspan gre; do
		if spanctl validate "$d-$what.yaml" >out 2>&1; then
			echo "$d $what: yes"
			# One tunnel for each switch is enough.
			[ "$what" = gre ] && [ -e "$d-tunnel" ] && continue
			case $what in erspan | gre) : >"$d-tunnel" ;; esac
			accepted="$accepted $d-$what"
		else
			sed -n "s/^error: //p" out
		fi
	done
done

# prove INTENT...: apply, count frames, delete.
prove() {
	files=
	for i in "$@"; do files="$files $i.yaml"; done
	# shellcheck disable=SC2086 # a list of names without blanks
	{
		run spanctl apply --yes $files
		run spanctl verify $files --lab "$control"
		run spanctl delete --yes "$@"
	}
}
for what in local tunnel; do
	step "Apply, prove by frames, delete: $what"
	list=
	for i in $accepted; do
		case $what-$i in local-*-local | tunnel-*-erspan | tunnel-*-gre) list="$list $i" ;; esac
	done
	# shellcheck disable=SC2086
	prove $list
done

step "The switches' configurations are what they were before, byte for byte"
configs after
for d in $switches; do
	run cmp "before.$d" "after.$d"
done
echo
echo "demo: done"
