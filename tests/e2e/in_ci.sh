#!/usr/bin/env bash
# The user's day for continuous integration: run where the machine can in time, left out with a sentence where it can't, and
# cleaned up however it ends. KUBEFUGU_CI_E2E=0 leaves it out, 1 runs it even where images have to be built from nothing first.
set -euo pipefail
cd "$(dirname "$0")/../.."
RIG=../shared/k8s
IMAGES=${K8S_IMAGES:-/var/tmp/kube-images}
asked=${KUBEFUGU_CI_E2E:-where-quick}
LIMIT_S=1500
[ "$asked" != 0 ] || { echo "test-e2e is left out: KUBEFUGU_CI_E2E is 0."; exit 0; }
if [ "$asked" != 1 ] && ! tests/e2e/third_party.sh check; then
  echo "test-e2e is left out here: the images' third-party layers are not in this machine's build cache, and building them takes" \
    "minutes. KUBEFUGU_CI_E2E=1 runs it all the same."
  exit 0
fi
if ! why=$(tests/e2e/precheck.sh); then
  echo "test-e2e is left out here: $why"
  exit 0
fi

# Builds that were cut off leave overlays inside the store's own mount: the deepest first.
unmount='awk -v store="$1/" "index(\$2, store) == 1 {print \$2}" /proc/mounts | sort -r | xargs -r -n 1 umount -l'

running=
watchdog=
clean() {
  trap - EXIT INT TERM HUP
  # Its own session: pytest, what it started, and builds that are under way.
  if [ -n "$running" ]; then
    kill -TERM -- "-$running" 2>/dev/null || true
    for _ in $(seq 50); do kill -0 -- "-$running" 2>/dev/null || break; sleep 0.2; done
    kill -KILL -- "-$running" 2>/dev/null || true
  fi
  "$RIG/cluster" down >/dev/null 2>&1 || true
  bash -c "$unmount" unmount "$IMAGES" 2>/dev/null || true
  if [ -n "$watchdog" ]; then kill "$watchdog" 2>/dev/null || true; fi
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

[ "$asked" != 1 ] || LIMIT_S=3600
setsid timeout --foreground -k 30 "$LIMIT_S" make test-e2e < /dev/null &
running=$!
# This script itself may be killed where no trap runs: then somebody else has to put the node away.
setsid bash -c '
  while kill -0 "$1" 2>/dev/null; do sleep 1; done
  kill -KILL -- "-$2" 2>/dev/null; "$3/cluster" down; bash -c "$5" unmount "$4"' watchdog $$ "$running" "$PWD/$RIG" "$IMAGES" "$unmount" \
  < /dev/null > /dev/null 2>&1 &
watchdog=$!
code=0
wait "$running" || code=$?
[ "$code" != 124 ] || echo "test-e2e took more than $LIMIT_S s."
exit "$code"
