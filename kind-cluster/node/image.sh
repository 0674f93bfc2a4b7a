# shellcheck shell=bash
# The node image, from Debian packages and compiled Go modules alone: what kind expects of
# kindest/node, with the images of the control plane already unpacked in its containerd.

node_image_key() {
  {
    input_key node pod-network images/archive.py images/scratch.sh versions.sh
    kubernetes_folder
    coredns_folder
  } | sha256sum | cut -c1-12
}

built_node_image() { echo "$NODE_REGISTRY/node:$KUBERNETES_VERSION-$(node_image_key)"; }

# want_node_image IMAGE
want_node_image() {
  local image=$1
  ! docker image inspect "$image" >/dev/null 2>&1 || return 0
  want_node_programs
  want_debian_tree
  NODE_WORK=$CACHE/node-image.work
  rm -rf "$NODE_WORK"
  mkdir -p "$NODE_WORK"/{root,images,archives}
  step "node image: root file system" make_node_root "$NODE_WORK/root"
  step "node image: component images" make_component_images
  step "node image: preload them" preload_images "$NODE_WORK/root"
  step "node image: import into Docker" import_node_image "$NODE_WORK/root" "$image"
  rm -rf "$NODE_WORK"
}

# fill FILE...: puts the versions and ranges into a template, in place.
fill_placeholders() {
  sed -i -e "s|@NODE_REGISTRY@|$NODE_REGISTRY|g" -e "s|@PAUSE_VERSION@|$PAUSE_VERSION|g" \
    -e "s|@POD_NETWORK_VERSION@|$POD_NETWORK_VERSION|g" -e "s|@POD_RANGE@|$POD_RANGE|g" "$@"
}

# Units that mean nothing, or do harm to the machine, in a container.
NODE_MASKED_UNITS=(
  systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-logind.service
  getty.target console-getty.service systemd-remount-fs.service systemd-modules-load.service
  systemd-sysctl.service systemd-binfmt.service systemd-resolved.service systemd-networkd.service
  systemd-timesyncd.service nftables.service redis-server.service
  sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount
  dev-hugepages.mount dev-mqueue.mount tmp.mount proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service
  fstrim.timer systemd-tmpfiles-clean.timer
)

# make_node_root ROOT
make_node_root() {
  local root=$1 current=$PROGRAMS/current
  cp -a "$(debian_tree)/." "$root/"
  cp -r "$HERE/node/rootfs/." "$root/"
  cp "$HERE/pod-network/pod-network.yaml" "$root/kind/manifests/default-cni.yaml"
  fill_placeholders "$root/kind/manifests/default-cni.yaml" "$root/etc/containerd/config.toml"
  printf %s "$KUBERNETES_VERSION" >"$root/kind/version"
  cp -L "$current"/{kubelet,kubeadm,kubectl,crictl} "$root/usr/bin/"
  mkdir -p "$root/etc/kubernetes/manifests" "$root/opt/cni"
  ln -sfn /usr/lib/cni "$root/opt/cni/bin"
  : >"$root/etc/machine-id"
  : >"$root/etc/fstab"
  chroot "$root" systemctl set-default multi-user.target
  chroot "$root" systemctl enable containerd kubelet
  chroot "$root" systemctl mask "${NODE_MASKED_UNITS[@]}"
}

# component IMAGE:TAG ENTRYPOINT [PROGRAM]...: an image with the named programs in /usr/local/bin,
# on whatever the folder of that name already holds.
component() {
  local image=$1 entrypoint=$2 folder=$NODE_WORK/images/${1%%:*} program
  shift 2
  mkdir -p "$folder/usr/local/bin"
  for program in "$@"; do cp -L "$PROGRAMS/current/$program" "$folder/usr/local/bin/"; done
  write_image "$NODE_WORK/archives/${image/:/_}.tar" "$NODE_REGISTRY/$image" "$folder" --entrypoint "$entrypoint"
}

# The tools of kube-proxy and the pod network: nft, iptables on nft, conntrack, ip, a small shell.
add_network_tools() {
  local folder=$1 tree name
  tree=$(debian_tree)
  mapfile -t plugins < <(cd "$tree" && find usr/lib/*/xtables -name '*.so' -printf '/%p\n')
  copy_closure "$tree" "$folder" /usr/sbin/xtables-nft-multi /usr/sbin/nft /usr/sbin/conntrack \
    /usr/bin/ip /usr/bin/dash /usr/bin/busybox "${plugins[@]}"
  for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -s xtables-nft-multi "$folder/usr/sbin/$name"
  done
  add_shell "$folder" cat cmp cp ls mkdir mv nc rm sleep
}

make_component_images() {
  local name images=$NODE_WORK/images
  mkdir -p "$images"/{kube-proxy,pod-network,pause}
  add_network_tools "$images/kube-proxy"
  add_network_tools "$images/pod-network"
  cp "$HERE/pod-network/pod-network.sh" "$images/pod-network/"
  (cd "$HERE/node/pause" && go_build -ldflags '-s -w' -o "$images/pause/pause" .)
  for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
    component "$name:$KUBERNETES_VERSION" '[]' "$name"
  done
  component "etcd:${ETCD_VERSION#v}" '[]' etcd etcdctl
  component "coredns:$COREDNS_VERSION" '["/usr/local/bin/coredns"]' coredns
  component "pod-network:$POD_NETWORK_VERSION" '["/bin/sh","/pod-network.sh"]' kubectl
  component "pause:$PAUSE_VERSION" '["/pause"]'
}

# with_libraries_of ROOT: sets LOADER to the words in front of a program of a Debian tree that give
# it that tree's libraries, but the machine's file system: chroot would need its mounts.
with_libraries_of() {
  LOADER=("$1"/lib64/ld-linux-*.so.* --library-path "$(echo "$1"/usr/lib/*-linux-gnu)")
}

# The node's own containerd, run here for a moment, unpacks the images straight into the root.
# At the node's first boot that would be slow, and in a Docker build overlayfs refuses to nest.
preload_images() {
  local root=$1 socket=$NODE_WORK/preload.sock archive containerd ctr
  with_libraries_of "$root"
  ctr=("${LOADER[@]}" "$root/usr/bin/ctr" --address "$socket")
  cat >"$NODE_WORK/preload.toml" <<END
version = 2
root = "$root/var/lib/containerd"
state = "$NODE_WORK/preload.state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$socket"
[ttrpc]
  address = "$socket.ttrpc"
END
  "${LOADER[@]}" "$root/usr/bin/containerd" -c "$NODE_WORK/preload.toml" &
  containerd=$!
  # shellcheck disable=SC2064 # the number of now is meant
  trap "kill $containerd 2>/dev/null || true" EXIT
  for _ in $(seq 100); do
    ! "${ctr[@]}" version >/dev/null 2>&1 || break
    sleep 0.1
  done
  for archive in "$NODE_WORK"/archives/*.tar; do
    "${ctr[@]}" -n k8s.io images import --snapshotter overlayfs "$archive"
  done
  kill "$containerd"
  wait "$containerd" || true
}

# import_node_image ROOT IMAGE
import_node_image() {
  tar -C "$1" -c . | docker import \
    --change 'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]' \
    --change 'ENV container=docker' - "$2"
  remove_older_images "$NODE_REGISTRY/node" "$2"
}
