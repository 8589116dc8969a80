#!/bin/sh
# Run one static Linux program, which is mostly a Go test binary, as root inside a
# throw-away virtual machine with a distribution's kernel. It gives back the
# program's output while it runs, its exit status, and its coverage profile.
#
#   CGO_ENABLED=0 go test -count=1 -timeout 5m \
#       -exec "$PWD/hostmirror/kernellab/run.sh" ./hostmirror/...
#
# No root, no KVM: the processor is emulated. On Debian 12 it needs the packages
#   qemu-system-x86 busybox-static linux-image-cloud-amd64 cpio kmod xz-utils
# and takes the tc, ip and bridge commands of iproute2 along when they are there.
#
# Settings (environment):
#   LAB_KERNEL   kernel image; the newest /boot/vmlinuz-*-cloud-amd64
#   LAB_MODROOT  folder that holds lib/modules of another kernel; empty is /
#   LAB_VERSION  the kernel's version; taken from the name of LAB_KERNEL
#   LAB_MODULES  modules to load, their dependencies come along
#   LAB_MODULES_MORE  modules to load beside those
#   LAB_TOOLS    dynamic programs to take along
#   LAB_MEM LAB_SMP LAB_TIMEOUT   MiB, processors, seconds until the guest is ended
#   LAB_KMSG     file that gets the guest's kernel log
# Variables that begin with SPANCTL_ or LAB_, and GODEBUG and GOTRACEBACK, are passed
# on. A guest that panics or runs out of time is exit status 255 and shows the end of
# its kernel log.
set -eu

die() { echo "kernellab: $*" >&2; exit 2; }

: "${LAB_KERNEL:=$(ls -1 /boot/vmlinuz-*-cloud-amd64 2>/dev/null | sort -V | tail -n 1)}"
: "${LAB_MODROOT:=}"
: "${LAB_MODULES:=sch_ingress cls_matchall cls_flower cls_u32 cls_bpf act_mirred act_gact act_vlan act_police sch_tbf veth dummy ifb bridge 8021q bonding macvlan tun vxlan ip_gre ip6_gre}"
: "${LAB_MODULES_MORE:=}" "${LAB_TOOLS:=tc ip bridge}" "${LAB_MEM:=512}" "${LAB_SMP:=1}" "${LAB_TIMEOUT:=600}" "${LAB_KMSG:=}"

[ $# -ge 1 ] || die "usage: run.sh PROGRAM [ARGUMENT...]"
[ -r "$LAB_KERNEL" ] || die "no kernel image; install linux-image-cloud-amd64 or set LAB_KERNEL"
for need in qemu-system-x86_64 busybox modprobe cpio; do
	command -v "$need" >/dev/null || die "no $need"
done
: "${LAB_VERSION:=$(basename "$LAB_KERNEL" | sed 's/^vmlinuz-//')}"
program=$1
shift

T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT INT TERM
R=$T/root
for d in bin dev proc sys tmp run mod out work; do mkdir -p "$R/$d"; done
cp "$(command -v busybox)" "$R/bin/busybox"
cp "$program" "$R/program"
[ ! -d testdata ] || cp -r testdata "$R/work/" # go test starts us in the package's folder

# Tools with the shared libraries they need, at the paths where they look for them.
# They go to /opt, in front of busybox's own, which can less.
mkdir -p "$R/opt"
for tool in $LAB_TOOLS; do
	path=$(command -v "$tool" || ls "/usr/sbin/$tool" "/sbin/$tool" 2>/dev/null | head -n 1) || true
	[ -n "$path" ] || continue
	cp -L "$path" "$R/opt/$tool"
	ldd "$path" | grep -o '/[^ )]*' | while read -r lib; do
		mkdir -p "$R$(dirname "$lib")"
		cp -L "$lib" "$R$lib"
	done
done

# Modules in the order to load them. Built-in and unknown ones give no line.
for m in $LAB_MODULES $LAB_MODULES_MORE; do
	modprobe ${LAB_MODROOT:+-d "$LAB_MODROOT"} -S "$LAB_VERSION" --show-depends "$m" 2>/dev/null || true
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$T/order"
n=1000
while read -r ko; do
	n=$((n + 1))
	name=$(basename "$ko")
	to=$R/mod/$n-${name%%.ko*}.ko
	case $ko in
	*.xz) xz -dc "$ko" >"$to" ;;
	*.zst) zstd -qdc "$ko" >"$to" ;;
	*.gz) gzip -dc "$ko" >"$to" ;;
	*) cp "$ko" "$to" ;;
	esac
done <"$T/order"

# One argument a line; paths of this machine mean nothing in the guest.
cover=
for a in "$@"; do
	case $a in
	-test.coverprofile=*) cover=${a#*=}; a=-test.coverprofile=/out/cover ;;
	-test.gocoverdir=*) a=-test.gocoverdir=/tmp ;;
	-test.testlogfile=*) continue ;;
	esac
	printf '%s\n' "$a"
done >"$R/arguments"
env | grep -E '^(SPANCTL_|LAB_|GODEBUG=|GOTRACEBACK=)' >"$R/environment" || true

cat >"$R/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mkdir -p /usr/sbin /usr/bin /sbin
/bin/busybox --install -s /bin
export PATH=/opt:/bin HOME=/tmp TMPDIR=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
exec </dev/null
for ko in /mod/*.ko; do insmod "$ko"; done # a failure shows on the kernel log's port
ip link set lo up
stty -F /dev/ttyS1 raw -echo
while IFS= read -r e; do export "$e"; done </environment
export SPANCTL_KERNELLAB=1
set --
while IFS= read -r a; do set -- "$@" "$a"; done </arguments
cd /work
/program "$@" >/dev/ttyS1 2>&1
status=$?
[ ! -s /out/cover ] || { echo; cat /out/cover; } >/dev/ttyS3
echo $status >/dev/ttyS2
poweroff -f
INIT
chmod 755 "$R/init" "$R/program"
(cd "$R" && find . | cpio -o -H newc --quiet) >"$T/initrd"

# Four serial ports: kernel log, the program's output as it comes, its exit status,
# its coverage profile. Nothing has to be picked out of a console.
: >"$T/status"; : >"$T/kmsg"; : >"$T/cover"
timeout -k 5 "$LAB_TIMEOUT" qemu-system-x86_64 -accel tcg -nodefaults -display none -no-reboot \
	-m "$LAB_MEM" -smp "$LAB_SMP" -kernel "$LAB_KERNEL" -initrd "$T/initrd" \
	-append "console=ttyS0 panic=-1 oops=panic quiet loglevel=4 mitigations=off" \
	-serial "file:$T/kmsg" -serial stdio -serial "file:$T/status" -serial "file:$T/cover" \
	</dev/null || true
[ -z "$LAB_KMSG" ] || cp "$T/kmsg" "$LAB_KMSG"
[ -z "$cover" ] || [ ! -s "$T/cover" ] || tr -d '\r' <"$T/cover" | sed 1d >"$cover"
if ! read -r status <"$T/status"; then
	echo "kernellab: the guest gave no exit status (a crash, or LAB_TIMEOUT=$LAB_TIMEOUT); the end of its kernel log:" >&2
	tail -n 40 "$T/kmsg" >&2
	exit 255
fi
exit "$(printf %s "$status" | tr -d '\r')"
