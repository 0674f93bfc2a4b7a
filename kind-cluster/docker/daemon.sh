# shellcheck shell=bash
# A Docker daemon of our own for machines where none answers. It lives in a network namespace
# that is joined to the machine by one veth pair and whose default route is a blackhole: its
# bridges and firewall rules never meet the machine's, and nothing of the cluster, not even a
# packet to a service address that kube-proxy has not programmed yet, can leave the machine.

DAEMON_RUN=/run/atomicnf
DAEMON_DATA=$CACHE/docker
PRIVATE_DOCKER_HOST=unix://$DAEMON_RUN/docker.sock

DAEMON_NETNS=atomicnf
DAEMON_NETNS_PATH=/run/netns/$DAEMON_NETNS
MACHINE_LINK=anf-docker
MACHINE_ADDRESS=10.123.0.1
DAEMON_ADDRESS=10.123.0.2        # the API server listens here, as seen from the machine
CONTAINER_RANGE=172.31.0.0/20    # Docker networks, the nodes' among them, are cut from this

private_docker_answers() { DOCKER_HOST=$PRIVATE_DOCKER_HOST timeout 10 docker info >/dev/null 2>&1; }

in_daemon_netns() { nsenter --net="$DAEMON_NETNS_PATH" "$@"; }

make_daemon_netns() {
  # After a reboot the mount point may be left without its namespace.
  in_daemon_netns true 2>/dev/null || rm -f "$DAEMON_NETNS_PATH"
  if [ ! -e "$DAEMON_NETNS_PATH" ]; then
    ip link delete "$MACHINE_LINK" 2>/dev/null || true # a namespace dies slowly
    ip netns add "$DAEMON_NETNS"
    ip link add "$MACHINE_LINK" type veth peer name eth0 netns "$DAEMON_NETNS"
    ip -n "$DAEMON_NETNS" address add "$DAEMON_ADDRESS/30" dev eth0
    ip -n "$DAEMON_NETNS" link set lo up
    ip -n "$DAEMON_NETNS" link set eth0 up
    ip -n "$DAEMON_NETNS" route add blackhole default
  fi
  ip address replace "$MACHINE_ADDRESS/30" dev "$MACHINE_LINK"
  ip link set "$MACHINE_LINK" up
  # From here the machine reaches nodes and test hosts at their own addresses.
  ip route replace "$CONTAINER_RANGE" via "$DAEMON_ADDRESS" dev "$MACHINE_LINK"
  # Before dockerd: where dockerd itself turns forwarding on it also drops what is forwarded,
  # and with it everything between the machine and the nodes.
  in_daemon_netns sysctl -qw net.ipv4.ip_forward=1
}

# The path of the runc wrapper, built if need be (why it exists: runc-caps/main.go).
runc_wrapper() {
  local folder name=runc-caps
  folder=runc-caps-$(input_key docker/runc-caps)
  if [ ! -x "$PROGRAMS/$folder/$name" ]; then
    (cd "$HERE/docker/runc-caps" && go_build -ldflags '-s -w' -o "$CACHE/$name.new" .)
    publish "$CACHE/$name.new" "$folder" "$name"
  fi
  echo "$PROGRAMS/$folder/$name"
}

launch_private_docker() {
  local wrapper waited=0
  wrapper=$(runc_wrapper)
  make_daemon_netns
  mkdir -p "$DAEMON_RUN" "$DAEMON_DATA"
  # A pid file whose process is gone would make dockerd refuse after its number was given away.
  daemon_pid >/dev/null || rm -f "$DAEMON_RUN/docker.pid"
  # nsenter, not "ip netns exec": that one mounts a new /sys and so hides /sys/fs/cgroup.
  # Its own session and no inherited descriptor: it must outlive this terminal and this lock.
  in_daemon_netns setsid dockerd \
    --host "$PRIVATE_DOCKER_HOST" --pidfile "$DAEMON_RUN/docker.pid" \
    --data-root "$DAEMON_DATA/data" --exec-root "$DAEMON_RUN/exec" \
    --add-runtime "caps=$wrapper" --default-runtime caps \
    --bip 172.31.15.1/24 --default-address-pool "base=$CONTAINER_RANGE,size=24" \
    </dev/null >"$DAEMON_DATA/log" 2>&1 {LOCK_FD}>&- &
  until private_docker_answers; do
    sleep 0.2
    waited=$((waited + 1))
    if [ "$waited" -gt 150 ]; then
      tail -n 15 "$DAEMON_DATA/log"
      return 1
    fi
  done
}

# The bridge between nodes and test hosts is their wire: the namespace's firewall must not track
# what crosses it, and above all not put fragments together again. dockerd may turn this on.
make_bridges_plain() {
  local setting
  for setting in iptables ip6tables arptables; do
    [ ! -e "/proc/sys/net/bridge/bridge-nf-call-$setting" ] ||
      in_daemon_netns sysctl -qw "net.bridge.bridge-nf-call-$setting=0"
  done
}

start_private_docker() {
  # Checked even when the daemon runs: the machine may have lost the route to its network.
  if private_docker_answers; then
    make_daemon_netns
  else
    step "start the Docker daemon" launch_private_docker
  fi
  make_bridges_plain
  # Three kubelets exhaust the usual limits.
  sysctl -qw fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=524288
}

# The daemon's process number, if it is alive and really is a dockerd.
daemon_pid() {
  local pid
  pid=$(cat "$DAEMON_RUN/docker.pid" 2>/dev/null) || return 1
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || return 1
  echo "$pid"
}

# Clusters must be gone before: a daemon that stops leaves running containers to their shims.
stop_private_docker() {
  local pid waited=0
  if pid=$(daemon_pid); then
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do
      sleep 0.2
      waited=$((waited + 1))
      [ "$waited" -lt 150 ] || die "the Docker daemon (process $pid) does not stop; see $DAEMON_DATA/log"
    done
  fi
  ip link delete "$MACHINE_LINK" 2>/dev/null || true
  ip netns delete "$DAEMON_NETNS" 2>/dev/null || true
}
