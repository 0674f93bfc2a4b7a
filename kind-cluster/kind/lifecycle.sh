# shellcheck shell=bash
# One cluster's life: created, ready, deleted. A cluster is one kind cluster named $ANF_CLUSTER;
# what we remember of it lies in $CLUSTER_FOLDER and goes with it.

# The port is derived from the name, so that clusters live side by side and a restart keeps it.
api_server_port() {
  if [ "$ANF_CLUSTER" = atomicnf ]; then
    echo 6443
  else
    echo $((20000 + $(printf %s "$ANF_CLUSTER" | cksum | cut -d' ' -f1) % 10000))
  fi
}

# The kind configuration for this machine, on standard output.
kind_configuration() {
  local api_server=
  if [ "$NODE_SOURCE" = built ]; then
    api_server="apiServerAddress: \"$DAEMON_ADDRESS\"\n  apiServerPort: $(api_server_port)"
  fi
  {
    cat "$HERE/kind/cluster.yaml"
    [ "$NODE_SOURCE" != built ] || cat "$HERE/kind/built-node-image.yaml"
  } | sed -e "s|# @API_SERVER@|$api_server|" -e "s|@NODE_REGISTRY@|$NODE_REGISTRY|g" \
    -e "s|@POD_RANGE@|$POD_RANGE|g" -e "s|@SERVICE_RANGE@|$SERVICE_RANGE|g" \
    -e "s|@COREDNS_VERSION@|$COREDNS_VERSION|g" -e "s|@ETCD_TAG@|${ETCD_VERSION#v}|g"
}

cluster_nodes() { kind get nodes --name "$ANF_CLUSTER" 2>/dev/null; }

# Docker gives the nodes new addresses when it starts them again, in no order; Kubernetes keeps those
# that the kubelets registered, and then every route and probe leads to the wrong node.
nodes_keep_their_addresses() {
  local node registered
  for node in $(cluster_nodes); do
    registered=$(kubectl get node "$node" -o \
      jsonpath='{.status.addresses[?(@.type=="InternalIP")].address}' --request-timeout=5s) || return 1
    docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{"\n"}}{{end}}' "$node" |
      grep -qxF "$registered" || return 1
  done
}

# Whether all three nodes are there and running, the API server answers, and the addresses are those
# it knows. A control plane that Docker has just started again gets a minute to answer.
cluster_runs() {
  local node running=0
  for node in $(cluster_nodes); do
    [ "$(docker inspect -f '{{.State.Running}}' "$node")" = true ] || return 1
    running=$((running + 1))
  done
  [ "$running" -eq 3 ] && [ -s "$KUBECONFIG" ] || return 1
  for _ in $(seq 30); do
    if kubectl get --raw /readyz --request-timeout=5s >/dev/null 2>&1; then
      nodes_keep_their_addresses
      return
    fi
    sleep 2
  done
  return 1
}

create_cluster() {
  local image=$1
  kind_configuration >"$CLUSTER_FOLDER/kind.yaml"
  kind create cluster --name "$ANF_CLUSTER" --image "$image" --config "$CLUSTER_FOLDER/kind.yaml" \
    --kubeconfig "$KUBECONFIG"
}

# Three machines share one here. So the processors go to the packets first, as they would on machines of
# their own: before the control plane, and on a worker before kubelet and containerd. These are only
# weights; what is idle is anybody's. A restart of a node forgets its inner ones.
favour_packets() {
  local node
  docker update --cpu-shares 128 "$ANF_CLUSTER-control-plane"
  for node in "$ANF_CLUSTER-worker" "$ANF_CLUSTER-worker2"; do
    docker update --cpu-shares 4096 "$node"
    # Control groups of version 1; "kubelet" is the root of the pods'.
    docker exec "$node" sh -c 'cd /sys/fs/cgroup/cpu 2>/dev/null || exit 0
      echo 4096 >kubelet/cpu.shares
      for group in system.slice init.scope; do echo 128 >$group/cpu.shares; done'
  done
}

delete_cluster() {
  kind delete cluster --name "$ANF_CLUSTER" --kubeconfig "$KUBECONFIG"
  rm -rf "$CLUSTER_FOLDER"
}

await_ready() {
  kubectl wait --for=condition=Ready nodes --all --timeout=180s
  kubectl -n kube-system rollout status daemonset --timeout=120s
  # Not "rollout status": with one replica of which one may be missing it is content with none.
  kubectl -n kube-system wait --for=condition=Ready pod -l k8s-app=kube-dns --timeout=120s
}

# want_new_cluster NODE_IMAGE: in place of whatever is left of an old one.
want_new_cluster() {
  [ -z "$(cluster_nodes)" ] || step "delete the broken cluster $ANF_CLUSTER" delete_cluster
  mkdir -p "$CLUSTER_FOLDER"
  echo "$NODE_SOURCE" >"$CLUSTER_FOLDER/node-source"
  echo "$1" >"$CLUSTER_FOLDER/node-image"
  step "create the cluster $ANF_CLUSTER" create_cluster "$1"
}
