#!/bin/sh
# The pod network of a cluster whose nodes share one L2 segment. On every node: a bridge with the
# node's own pod range (the reference plugins bridge, host-local and portmap), a route to each other
# node's range, and masquerading for what goes to neither pods nor nodes' own segment.
#
# Must hold: the configuration file appears whole or not at all, since its appearance is what makes
# the node Ready; and watching costs nothing while no node changes.
set -eu

conflist=/etc/cni/net.d/10-atomicnf.conflist
line='{.metadata.name} {.spec.podCIDR} {.status.addresses[?(@.type=="InternalIP")].address}{"\n"}'

configure_this_node() { # RANGE
  cat >"$conflist.new" <<END
{"cniVersion": "0.4.0", "name": "atomicnf", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$1"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
  if cmp -s "$conflist.new" "$conflist"; then rm "$conflist.new"; else mv "$conflist.new" "$conflist"; fi
  iptables -w -t nat -C POSTROUTING -s "$1" ! -d "$POD_RANGE" -j MASQUERADE 2>/dev/null ||
    iptables -w -t nat -A POSTROUTING -s "$1" ! -d "$POD_RANGE" -j MASQUERADE
}

# The API's service address leads nowhere before kube-proxy has programmed it.
until nc -w 1 "$KUBERNETES_SERVICE_HOST" "$KUBERNETES_SERVICE_PORT" </dev/null; do sleep 0.2; done

# A watch prints every node once, then each one that changes; it ends when the API server does.
while :; do
  kubectl get nodes --watch -o jsonpath="$line" | while read -r name range address; do
    [ -n "$address" ] || continue
    if [ "$name" = "$NODE_NAME" ]; then
      configure_this_node "$range"
    else
      ip route replace "$range" via "$address"
    fi
  done || true
  sleep 1
done
