# shellcheck shell=bash
# Our images: from the release binaries, without a distribution, tagged by their content. An image
# that is there is neither built nor loaded again.
#
#   operator   anf-operator and kubectl-anf, as user 65532
#   sidecar    anf-sidecar, as user 65532 (a pod that opens a node's port sets its own user)
#   host       an ordinary Linux host for tests: ip, ethtool, ping, ..., and anf-traffic
#   redis      what the public image of that name does; pulled where that is possible

IMAGE_NAMES=(operator sidecar host redis)
BINARIES=${CARGO_TARGET_DIR:-$HERE/../target}/release
HOST_TOOLS=(ip ss tc bridge ethtool ping tcpdump iperf3)

binaries_of() {
  case $1 in
  operator) echo anf-operator kubectl-anf ;;
  sidecar) echo anf-sidecar ;;
  host) echo anf-traffic ;;
  esac
}

require_binaries() {
  local image binary missing=()
  for image in "$@"; do
    for binary in $(binaries_of "$image"); do
      [ -x "$BINARIES/$binary" ] || missing+=("$binary")
    done
  done
  [ ${#missing[@]} -eq 0 ] ||
    die "$BINARIES has no ${missing[*]}: run cargo build --release first, or set CARGO_TARGET_DIR"
}

# Where the tools of the host image and Redis come from.
tools_tree() { if [ "$NODE_SOURCE" = built ]; then debian_tree; else echo /; fi; }

# Everything that the content of an image depends on.
image_key() {
  local binary
  {
    sha256sum "$HERE"/images/{images.sh,scratch.sh,archive.py} | cut -d' ' -f1
    for binary in $(binaries_of "$1"); do sha256sum <"$BINARIES/$binary"; done
    case $1 in host | redis) tools_tree ;; esac
  } | sha256sum | cut -c1-12
}

image_name() {
  if [ "$1" = redis ]; then echo "redis:$REDIS_VERSION"; else echo "atomicnf/$1:$(image_key "$1")"; fi
}

# --- contents ---------------------------------------------------------------------------------

add_users() {
  mkdir -p "$1/etc"
  printf '%s\n' 'root:x:0:0:root:/:/bin/sh' 'redis:x:999:999:redis:/data:/bin/sh' \
    'nonroot:x:65532:65532:nonroot:/:/bin/sh' >"$1/etc/passwd"
  printf '%s\n' 'root:x:0:' 'redis:x:999:' 'nonroot:x:65532:' >"$1/etc/group"
  echo 'hosts: files dns' >"$1/etc/nsswitch.conf"
}

# add_binaries FOLDER BINARY...: our programs in /usr/local/bin, with this machine's libraries,
# which they were linked against.
add_binaries() {
  local folder=$1 binary libraries
  shift
  mkdir -p "$folder/usr/local/bin"
  for binary in "$@"; do
    cp "$BINARIES/$binary" "$folder/usr/local/bin/"
    mapfile -t libraries < <(shared_libraries / "$BINARIES/$binary")
    [ ${#libraries[@]} -eq 0 ] || copy_closure / "$folder" "${libraries[@]}"
  done
}

# add_tools FOLDER TOOL...: tools of the tree, a shell, and busybox for everything else.
add_tools() {
  local folder=$1 tree tool path
  shift
  tree=$(tools_tree)
  for tool in "$@" dash busybox; do
    path=$(cd "$tree" && find usr/bin usr/sbin -name "$tool" -print -quit)
    [ -n "$path" ] || { echo "no $tool in $tree" && return 1; }
    copy_closure "$tree" "$folder" "/$path"
  done
  mapfile -t applets < <("$folder/usr/bin/busybox" --list | grep -vx busybox)
  add_shell "$folder" "${applets[@]}"
}

fill_operator() { add_binaries "$1" anf-operator kubectl-anf; }

fill_sidecar() { add_binaries "$1" anf-sidecar; }

fill_host() {
  add_tools "$1" "${HOST_TOOLS[@]}"
  add_binaries "$1" anf-traffic # last: this machine's libc may be the newer one
}

fill_redis() {
  add_tools "$1" redis-server redis-cli
  mkdir -p "$1/data"
  chmod 1777 "$1/data"
}

image_options() {
  case $1 in
  operator) printf '%s\n' --user 65532:65532 --entrypoint '["/usr/local/bin/anf-operator"]' ;;
  sidecar) printf '%s\n' --user 65532:65532 --entrypoint '["/usr/local/bin/anf-sidecar"]' ;;
  host) printf '%s\n' --command '["sleep","infinity"]' ;;
  redis) printf '%s\n' --workdir /data --command '["redis-server","--protected-mode","no"]' ;;
  esac
}

# --- building and loading ---------------------------------------------------------------------

# build_image NAME IMAGE
build_image() {
  local work options
  work=$(mktemp -d)
  mkdir "$work/root"
  add_users "$work/root"
  "fill_$1" "$work/root"
  mapfile -t options < <(image_options "$1")
  write_image "$work/image.tar" "$2" "$work/root" "${options[@]}"
  docker load -i "$work/image.tar"
  rm -rf "$work"
  [ "$1" = redis ] || remove_older_images "atomicnf/$1" "$2"
}

# remove_older_images REPOSITORY IMAGE: those whose tags end in a key of ours; Docker keeps the ones
# that a container uses.
remove_older_images() {
  local image
  for image in $(docker image ls --format '{{.Repository}}:{{.Tag}}' "$1" | grep -E '[:-][0-9a-f]{12}$' | grep -vxF "$2"); do
    docker image rm "$image" || true
  done
}

# want_image NAME IMAGE
want_image() {
  if [ "$1" = redis ]; then
    want_redis_image "$2"
  else
    docker image inspect "$2" >/dev/null 2>&1 || step "build $2" build_image "$1" "$2"
  fi
}

# The tag of this image does not tell its content; a mark in the cache does.
want_redis_image() {
  local mark
  mark=$CACHE/images/redis-$NODE_SOURCE-$(image_key redis)
  ! { docker image inspect "$1" >/dev/null 2>&1 && [ -e "$mark" ]; } || return 0
  if [ "$NODE_SOURCE" = public ]; then
    step "pull $1" docker pull "$1"
  else
    step "build $1" build_image redis "$1"
  fi
  mkdir -p "$CACHE/images"
  : >"$mark"
}

# missing_images IMAGE...: those that a node lacks, by content, since a tag can move to another.
missing_images() {
  local node image there
  for node in $(cluster_nodes); do
    # shellcheck disable=SC2016 # for the shell in the node
    there=$(docker exec "$node" sh -c 'for image; do crictl inspecti "$image"; done' - "$@" 2>/dev/null) || true
    for image in "$@"; do
      grep -qF "\"$(docker image inspect -f '{{.Id}}' "$image")\"" <<<"$there" || echo "$image"
    done
  done | sort -u
}

load_missing() {
  local missing
  mapfile -t missing < <(missing_images "$@")
  [ ${#missing[@]} -eq 0 ] ||
    step "load ${#missing[@]} image(s) into the nodes" kind load docker-image --name "$ANF_CLUSTER" "${missing[@]}"
}

# want_images [NAME]...: prints "ANF_<NAME>_IMAGE=<image>" for each.
want_images() {
  local name image images=()
  [ $# -gt 0 ] || set -- "${IMAGE_NAMES[@]}"
  for name in "$@"; do
    [[ " ${IMAGE_NAMES[*]} " = *" $name "* ]] || die "no image is called $name; there are: ${IMAGE_NAMES[*]}"
  done
  require_binaries "$@"
  for name in "$@"; do
    image=$(image_name "$name")
    want_image "$name" "$image"
    images+=("$image")
    printf 'ANF_%s_IMAGE=%s\n' "${name^^}" "$image"
  done
  load_missing "${images[@]}"
}
