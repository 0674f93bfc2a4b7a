# shellcheck shell=bash disable=SC2034
# Every version the cluster is made of; the cache keys are derived from them.

KUBERNETES_VERSION=v1.34.4  # the newest minor that takes containerd 1.6 and cgroup v1 without flags
KIND_VERSION=v0.30.0
ETCD_VERSION=v3.6.16
COREDNS_VERSION=v1.14.7
HELM_VERSION=v3.20.2
PAUSE_VERSION=3.10.1
POD_NETWORK_VERSION=1
REDIS_VERSION=7.0.15        # what Debian 12 carries

# The image used when a registry can be reached, and the name of our own when none can.
PUBLIC_NODE_IMAGE=kindest/node:v1.34.0
PUBLIC_REDIS_IMAGE=redis:$REDIS_VERSION
# Nothing can resolve this registry name, so an image missing from the node fails at once.
NODE_REGISTRY=atomicnf.invalid

POD_RANGE=10.244.0.0/16
SERVICE_RANGE=10.96.0.0/16
