# shellcheck shell=bash
# Images without a distribution: a program, the shared libraries that it names, and nothing else.

# shared_libraries ROOT FILE: the libraries and the loader of a program in the tree ROOT, as paths
# in that tree; nothing for a static program.
shared_libraries() {
  if [ "$1" = / ]; then ldd "$2"; else chroot "$1" ldd "$2"; fi 2>/dev/null | grep -oE '/[^ )]+' || true
}

# copy_closure ROOT DESTINATION FILE...: copies files of the tree ROOT with all libraries that
# they need to the same places below DESTINATION.
copy_closure() {
  local root=$1 destination=$2 file
  shift 2
  for file in "$@"; do
    echo "$file"
    shared_libraries "$root" "$file"
  done | sort -u | while read -r file; do
    mkdir -p "$destination/$(dirname "$file")"
    cp -L "${root%/}$file" "$destination/$file"
  done
}

# link_busybox DESTINATION APPLET...
link_busybox() {
  local destination=$1 applet
  shift
  mkdir -p "$destination/bin"
  for applet in "$@"; do ln -sf /usr/bin/busybox "$destination/bin/$applet"; done
}

# write_image ARCHIVE NAME FOLDER [option of archive.py]...
write_image() {
  mkdir -p "$3/etc" "$3/run" "$3/tmp"
  chmod 1777 "$3/tmp"
  python3 "$HERE/images/archive.py" "$@"
}
