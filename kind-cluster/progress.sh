# shellcheck shell=bash
# Progress for people: one line a step with its seconds on the terminal, everything a step
# prints in the log file. A step that fails names the log and shows its last lines.

LOG=${LOG:-/dev/null}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "cluster: $*"
  exit 1
}

# start_log NAME: a fresh log for this run; the runs before it are kept for comparison.
start_log() {
  mkdir -p "$CACHE/log"
  LOG=$CACHE/log/$1-$(date +%Y%m%d-%H%M%S)-$$.log
  find "$CACHE/log" -name "$1-*.log" -mtime +7 -delete
  : >"$LOG"
}

# step TITLE COMMAND...: runs the command in a subshell with its output in the log.
step() {
  local title=$1 started=$EPOCHREALTIME status=0
  shift
  printf '  %-44s' "$title" >&2
  printf '\n== %s\n' "$title" >>"$LOG"
  # A plain "if ( ... )" would switch errexit off inside the step.
  set +e
  (
    set -e
    "$@"
  ) >>"$LOG" 2>&1
  status=$?
  set -e
  if [ "$status" -ne 0 ]; then
    printf 'failed after %s s\n' "$(seconds_since "$started")" >&2
    tail -n 20 "$LOG" | sed 's/^/    | /' >&2
    die "\"$title\" failed; the whole log is $LOG"
  fi
  printf '%6s s\n' "$(seconds_since "$started")" >&2
}

seconds_since() {
  local micros=$((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}))
  printf '%d.%d' $((micros / 1000000)) $((micros / 100000 % 10))
}
