# shellcheck shell=bash
# Images without a distribution: a program, the shared libraries that it names, and nothing else.

# shared_libraries ROOT FILE...: the libraries and the loader of programs in the tree ROOT, as
# paths in that tree; nothing for a static program.
shared_libraries() {
  local root=$1
  shift
  # ldd heads the answer for each of several files with "FILE:".
  if [ "$root" = / ]; then ldd "$@"; else chroot "$root" ldd "$@"; fi 2>/dev/null |
    grep -v ':$' | grep -oE '/[^ )]+' | sort -u || true
}

# copy_closure ROOT DESTINATION FILE...: copies files of the tree ROOT with all libraries that
# they need to the same places below DESTINATION.
copy_closure() {
  local root=$1 destination=$2 file
  shift 2
  {
    printf '%s\n' "$@"
    shared_libraries "$root" "$@"
  } | sort -u | while read -r file; do
    mkdir -p "$destination/$(dirname "$file")"
    cp -L "${root%/}$file" "$destination/$file"
  done
}

# add_shell DESTINATION APPLET...: links to busybox, and dash as the shell: busybox's own shell
# runs its applets ("ip" among them) before it looks for a program of that name.
add_shell() {
  local destination=$1 applet
  shift
  mkdir -p "$destination/bin"
  for applet in "$@"; do ln -sf /usr/bin/busybox "$destination/bin/$applet"; done
  ln -sf /usr/bin/dash "$destination/bin/sh"
}

# write_image ARCHIVE NAME FOLDER [option of archive.py]...
write_image() {
  mkdir -p "$3/etc" "$3/run" "$3/tmp"
  chmod 1777 "$3/tmp"
  python3 "$HERE/images/archive.py" "$@"
}
