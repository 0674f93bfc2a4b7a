# shellcheck shell=bash
# A small Debian tree, made once by debootstrap: the base of the node image, and where the tools
# in our other images are taken from, so that no image depends on what the machine has installed.

DEBIAN_SUITE=bookworm
DEBIAN_PACKAGES=(
  systemd systemd-sysv containerd runc containernetworking-plugins                # the node
  iptables nftables conntrack ethtool socat iproute2 procps kmod util-linux mount # kubelet, kube-proxy
  ca-certificates iputils-ping tcpdump busybox-static iperf3                      # people, test hosts
  redis-server
)

debian_key() { printf '%s\n' "$DEBIAN_SUITE" "${DEBIAN_PACKAGES[@]}" | sha256sum | cut -c1-12; }
debian_tree() { echo "$CACHE/debian-$DEBIAN_SUITE-$(debian_key)"; }

# The mirror that apt on this machine uses, whatever it is.
debian_mirror() {
  # shellcheck disable=SC2016 # apt fills these in
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' |
    awk -v suite="$DEBIAN_SUITE" '$2 == suite { print $1; found = 1; exit } END { exit !found }'
}

make_debian_tree() {
  local tree new packages
  tree=$(debian_tree)
  new=$tree.new
  rm -rf "$new"
  packages=$(IFS=,; echo "${DEBIAN_PACKAGES[*]}")
  debootstrap --variant=minbase --include="$packages" "$DEBIAN_SUITE" "$new" "$(debian_mirror)"
  rm -rf "$new"/var/cache/apt/archives/*.deb "$new"/var/lib/apt/lists/* "$new"/var/log/bootstrap.log \
    "$new"/usr/share/{doc,man,locale,info}/* "$new"/etc/apt/sources.list
  mv "$new" "$tree"
}

want_debian_tree() {
  [ -d "$(debian_tree)" ] || step "debootstrap $DEBIAN_SUITE" make_debian_tree
}
