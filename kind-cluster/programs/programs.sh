# shellcheck shell=bash
# The programs of the cluster, compiled from Go modules into the cache. A program lives in a
# folder named after its inputs, so one that is there never needs to be looked at again;
# $PROGRAMS/current holds a link to the wanted version of each and goes in front of PATH.

PROGRAMS=$CACHE/programs
KUBERNETES_PROGRAMS=(kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubeadm kubectl)

# input_key FILE|FOLDER...: twelve digits that change when a name or a content changes; the names,
# relative to this folder, are the same in every checkout.
input_key() {
  (cd "$HERE" && find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
}

go_build() { CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOWORK=off nice -n 10 go build -trimpath "$@"; }

# publish BUILT FOLDER NAME: a killed build must never leave half a program in the cache.
publish() {
  mkdir -p "$PROGRAMS/$2" "$PROGRAMS/current"
  mv "$1" "$PROGRAMS/$2/$3"
}

link_current() { ln -sfn "../$1/$2" "$PROGRAMS/current/$2"; }

# build_tool NAME MODULE VERSION
build_tool() {
  local name=$1 package=$2 version=$3 folder=$1-$3 work
  work=$(mktemp -d)
  # A module of our own, not "go install package@version", which refuses etcd's replace directives.
  (cd "$work" && go mod init atomicnf.invalid/tool && nice -n 10 go get "$package@$version" &&
    go_build -ldflags '-s -w' -o "$work/$name" "$package")
  publish "$work/$name" "$folder" "$name"
  rm -rf "$work"
}

want_tool() {
  [ -x "$PROGRAMS/$1-$3/$1" ] || step "build $1 $3" build_tool "$@"
  link_current "$1-$3" "$1"
}

kubernetes_folder() { echo "kubernetes-$KUBERNETES_VERSION-$(input_key programs/kubernetes)"; }

# The version is stamped in as the release builds do; kubeadm refuses to work without it.
kubernetes_ldflags() {
  local package minor=${KUBERNETES_VERSION#v1.}
  printf -- '-s -w'
  for package in k8s.io/client-go/pkg/version k8s.io/component-base/version; do
    printf -- ' -X %s.%s' \
      "$package" "gitVersion=$KUBERNETES_VERSION" "$package" gitMajor=1 "$package" "gitMinor=${minor%%.*}" \
      "$package" gitTreeState=clean "$package" gitCommit=0000000 "$package" buildDate=2026-01-01T00:00:00Z
  done
}

# build_kubernetes NAME PACKAGE
build_kubernetes() {
  local work
  work=$(mktemp -d)
  (cd "$HERE/programs/kubernetes" && go_build -ldflags "$(kubernetes_ldflags)" -o "$work/$1" "$2")
  publish "$work/$1" "$(kubernetes_folder)" "$1"
  rm -rf "$work"
}

want_kubernetes() {
  local folder
  folder=$(kubernetes_folder)
  [ -x "$PROGRAMS/$folder/$1" ] || step "build $1 $KUBERNETES_VERSION" build_kubernetes "$1" "${2:-k8s.io/kubernetes/cmd/$1}"
  link_current "$folder" "$1"
}

# What every path needs: kind, helm, and a kubectl if the machine has none.
want_client_programs() {
  want_tool kind sigs.k8s.io/kind "$KIND_VERSION"
  want_tool helm helm.sh/helm/v3/cmd/helm "$HELM_VERSION"
  command -v kubectl >/dev/null || want_kubernetes kubectl
}

coredns_folder() { echo "coredns-$COREDNS_VERSION-$(input_key programs/coredns)"; }

build_coredns() {
  local work
  work=$(mktemp -d)
  cp "$HERE/programs/coredns/main.go" "$work/"
  (cd "$work" && go mod init atomicnf.invalid/coredns &&
    nice -n 10 go get "github.com/coredns/coredns@$COREDNS_VERSION" && nice -n 10 go get . &&
    go_build -ldflags '-s -w' -o "$work/coredns" .)
  publish "$work/coredns" "$(coredns_folder)" coredns
  rm -rf "$work"
}

want_coredns() {
  local folder
  folder=$(coredns_folder)
  [ -x "$PROGRAMS/$folder/coredns" ] || step "build coredns $COREDNS_VERSION" build_coredns
  link_current "$folder" coredns
}

# What only a node image of our own needs.
want_node_programs() {
  local name
  want_tool etcd go.etcd.io/etcd/server/v3 "$ETCD_VERSION"
  want_tool etcdctl go.etcd.io/etcd/etcdctl/v3 "$ETCD_VERSION"
  want_coredns
  for name in "${KUBERNETES_PROGRAMS[@]}"; do want_kubernetes "$name"; done
  want_kubernetes crictl ./crictl
}
