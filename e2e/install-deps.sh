#!/bin/bash
# Installs what the lab needs and the machine lacks, from Debian's packages. Needs root only for that.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin
missing=()
want() { command -v "$1" >/dev/null || missing+=("$2"); }
want redis-server redis-server
want ip iproute2
want ethtool ethtool
want valgrind valgrind
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}; install them with your package manager" >&2
  exit 1
fi
echo "installing ${missing[*]} ..."
# The packages start no daemon of their own: the lab runs its own Redis on its own port.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
log=$(mktemp)
if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
  >"$log" 2>&1; then
  tail -20 "$log" >&2
  exit 1
fi
rm -f "$log"
