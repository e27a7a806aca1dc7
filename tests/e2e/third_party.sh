#!/usr/bin/env bash
# Whether the images' third-party layers (torch above all) are in this machine's build cache: minutes of difference.
# `check` exits 0 where they are; `note` is called after a build.
set -euo pipefail
cd "$(dirname "$0")/../.."
STAMP=${K8S_IMAGES:-/var/tmp/kube-images}/kubefugu-third-party
now() {
  cat constraints.txt images/Dockerfile images/*.py {libs,services}/*/pyproject.toml operators/pyproject.toml \
    services/*/*ockerfile operators/Dockerfile tests/e2e/cluster/client.Dockerfile | sha256sum
}
case ${1:-} in
  note) if [ -d "$(dirname "$STAMP")" ]; then now > "$STAMP"; fi;;
  check) [ -f "$STAMP" ] && [ "$(now)" = "$(cat "$STAMP")" ];;
  *) echo "usage: $0 check|note" >&2; exit 2;;
esac
