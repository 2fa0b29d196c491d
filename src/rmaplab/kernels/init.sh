#!/bin/busybox sh
# The first process of a guest: modules, channels to the host, the host's files, then /lab/run.
#
# Channels are virtio ports, by name: "out" and "err" are the command's, a mark at their ends; "end" takes one line: "exit N", or
# "lacks WHAT" if this kernel cannot do what was asked for. With a size, ROWS and COLUMNS, the command gets the terminal hvc0. The console belongs to the kernel; the mark in its log says that
# what it had to say until then is printed.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /modules/*.ko; do
	[ -e "$module" ] && insmod "$module" 2>/dev/null
done

port() { # the device of the port called $1
	for place in /sys/class/virtio-ports/*; do
		[ "$(cat "$place/name" 2>/dev/null)" = "$1" ] && echo "/dev/${place##*/}"
	done
}
. /lab/settings
tries=0
for name in ${PORTS:-out err end}; do
	while [ -z "$(port "$name")" ] && [ $tries -lt 1200 ]; do # two minutes, all together: the host may be busy
		tries=$((tries + 1))
		usleep 100000
	done
done
exec 3>"$(port end)"

finish() {
	echo "$*" >&3
	sync
	sleep 100 # the host ends this machine
	poweroff -f
}
lacks() { finish "lacks $*"; }

if [ "$ROOT" = host ]; then
	mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro root /host 2>/dev/null ||
		lacks "9p over virtio (CONFIG_9P_FS, CONFIG_NET_9P_VIRTIO)"
	mount -t tmpfs -o size=75% tmpfs /upper
	mkdir /upper/files /upper/work
	mount -t overlay -o lowerdir=/host,upperdir=/upper/files,workdir=/upper/work overlay /root 2>/dev/null ||
		lacks "an overlay file system (CONFIG_OVERLAY_FS)"
	mount -t proc proc /root/proc
	mount -t sysfs sysfs /root/sys
	mount -t devtmpfs devtmpfs /root/dev
	mkdir -p /root/dev/shm /root/dev/pts /root/run /root/var/tmp /root/lab
	mount -t tmpfs tmpfs /root/dev/shm
	mount -t devpts devpts /root/dev/pts
	mount -t tmpfs tmpfs /root/run
	mount -t ext4 /dev/vda /root/var/tmp 2>/dev/null
	for one in debugfs:debug tracefs:tracing bpf:fs/bpf cgroup2:fs/cgroup; do
		mount -t "${one%%:*}" none "/root/sys/${one#*:}" 2>/dev/null ||
			mount -t "${one%%:*}" none "/root/sys/kernel/${one#*:}" 2>/dev/null
	done
	cp -r /lab/. /root/lab
	set -- chroot /root
else
	mount -t debugfs none /sys/kernel/debug 2>/dev/null
	set --
fi
# A kernel ignores a parameter that it does not know: what answers there must be what was asked for.
has=$("$@" cat /sys/kernel/debug/rmaplab/scheme 2>/dev/null)
case "$SCHEME=$has" in
"=$has" | "$has=$has" | off= | mm-id=off) ;;
*) lacks "rmap_scheme=$SCHEME (rmaplab kernel patch and build make one that has it)" ;;
esac
# Warnings are printed, what is less is not: lockdep and WARN() complain by warnings.
[ -e /proc/sys/kernel/printk ] && echo 5 >/proc/sys/kernel/printk
exec 4>"$(port out)" 5>"$(port err)"
if [ -n "$ROWS" ]; then
	until (exec 6<>/dev/hvc0) 2>/dev/null; do # its driver makes the file before there is a terminal
		tries=$((tries + 1))
		[ $tries -lt 1200 ] || lacks "a virtio console (CONFIG_VIRTIO_CONSOLE)"
		usleep 100000
	done
	exec 6<>/dev/hvc0
	stty -F /dev/hvc0 rows "$ROWS" cols "$COLUMNS"
	"$@" setsid -c /lab/run <&6 >&6 2>&6 3>&- 4>&- 5>&- 6>&-
else
	exec 6>/dev/null
	"$@" /lab/run </dev/null >&4 2>&5 3>&- 4>&- 5>&- 6>&-
fi
status=$?
for one in 4 5 6; do
	printf '\0%s' "$MARK" >&$one
done
echo "<0>the command ended: $MARK" >/dev/kmsg
finish "exit $status"
