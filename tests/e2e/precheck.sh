#!/usr/bin/env bash
# Can this machine run the single-node cluster of ../shared/k8s? Exit 0: yes. Exit 1: no, and one sentence on standard output says why.
# Everything that the rig needs is tried in throw-away namespaces, so that what fails later is ours and not the machine's.
set -uo pipefail
cd "$(dirname "$0")/../.."
RIG=../shared/k8s
STATE=${K8S_STATE:-/var/tmp/kube-node}
no() { echo "$*"; exit 1; }

[ -x "$RIG/cluster" ] && [ -x "$RIG/image" ] || no "there is no cluster rig beside the checkout (../shared/k8s)."
[ "$(id -u)" = 0 ] || no "the node needs root."
[ "$(uname -sm)" = "Linux x86_64" ] || no "the node needs Linux on x86-64."
command -v apt-get >/dev/null || no "the rig installs containerd, runc and buildah with apt-get, which is not here."
ls -d /sys/fs/cgroup/memory /sys/fs/cgroup/cpu >/dev/null 2>&1 || no "the node needs cgroup v1 hierarchies (memory, cpu) in /sys/fs/cgroup."
for hierarchy in /sys/fs/cgroup/*/; do
  mkdir "${hierarchy}kubefugu-precheck" 2>/dev/null && rmdir "${hierarchy}kubefugu-precheck" || no "$hierarchy is not writable."
done
if ip link show kube0 >/dev/null 2>&1 || grep -qa __init "/proc/$(cat "$STATE/init.pid" 2>/dev/null || echo none)/cmdline" 2>/dev/null; then
  no "another cluster is up on this machine."
fi
memory_mib=$(awk '/^MemAvailable/ {print int($2 / 1024)}' /proc/meminfo)
[ "$memory_mib" -ge 7168 ] || no "the node and its pods need 7 GiB of memory, $memory_mib MiB are available."
disk_gib=$(df -BG --output=avail /var/tmp | tail -n 1 | tr -dc 0-9)
[ "$disk_gib" -ge 22 ] || no "images need 22 GiB in /var/tmp, $disk_gib GiB are free."
"$RIG/cluster" install >/dev/null 2>&1 && "$RIG/image" install >/dev/null 2>&1 || no "the Debian packages of the rig can't be installed."

overlay=$(mktemp -d /var/tmp/kubefugu-precheck.XXXXXX)
trap 'rm -rf "$overlay"' EXIT
mkdir "$overlay/lower" "$overlay/upper" "$overlay/work" "$overlay/merged"
unshare --fork --kill-child=KILL --pid --mount --net --uts --ipc sh -c "
  mount --make-rprivate / && mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /run &&
  mount -t overlay overlay -o lowerdir=$overlay/lower,upperdir=$overlay/upper,workdir=$overlay/work $overlay/merged &&
  echo 1 > /proc/sys/net/ipv4/ip_forward" >/dev/null 2>&1 || no "namespaces, mounts or overlayfs are not allowed here."
unshare --fork --net sh -c 'iptables -t nat -N KUBEFUGU && iptables -t filter -L -n' >/dev/null 2>&1 || no "iptables does not work here."
ip link add kfcheck0 type veth peer name kfcheck1 >/dev/null 2>&1 && ip link del kfcheck0 || no "veth links can't be made here."
exit 0
