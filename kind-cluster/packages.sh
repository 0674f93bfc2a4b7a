# shellcheck shell=bash
# Commands the machine must have. What is missing is installed where apt and root make that
# possible; otherwise the message says what to install.

# want_commands COMMAND:PACKAGE...
want_commands() {
  local pair packages=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || packages+=("${pair#*:}")
  done
  [ ${#packages[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    die "please install: ${packages[*]}"
  fi
  step "install ${packages[*]}" install_packages "${packages[@]}"
}

install_packages() {
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

want_go() {
  command -v go >/dev/null || die "please install Go 1.24 or newer (kind and helm are compiled with it)"
}
