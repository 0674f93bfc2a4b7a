#!/usr/bin/env bash
# Tests of the chart that need no cluster: lint, rendering with several values, refused values, and
# that its copies of the definitions are those of crds/. Needs helm ($HELM names another than PATH's).
# The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."

chart=charts/atomicnf
helm=${HELM:-$(command -v helm || find "${ATOMICNF_CACHE:-$HOME/.cache/atomicnf}" -path '*helm-*/helm' -type f 2>/dev/null | sort -V | tail -1)}
if [ -z "$helm" ]; then
  echo "charts/test.sh: no helm in PATH or in the cache; run kind-cluster's set-up first, or set HELM" >&2
  exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# render OPTION...: what helm would install. A helm built from source does not know a Kubernetes version.
render() { "$helm" template atomicnf "$chart" --namespace atomicnf-system --kube-version 1.34.0 "$@" 2>&1; }

ok() { passed=$((passed + 1)); echo "ok      $1"; }
bad() { failed=$((failed + 1)); echo "FAILED  $1"; sed 's/^/        /' <<<"${2:-}" | tail -20; }

# check SENTENCE COMMAND...: passes when the command does.
check() {
  local sentence=$1 output
  shift
  if output=$("$@" 2>&1); then ok "$sentence"; else bad "$sentence" "$output"; fi
}

# has SENTENCE PATTERN OPTION...: the rendered chart has a line that matches.
has() {
  local sentence=$1 pattern=$2 output
  shift 2
  output=$(render "$@")
  if grep -qE -- "$pattern" <<<"$output"; then ok "$sentence"; else bad "$sentence" "no line matches $pattern: $output"; fi
}

# lacks SENTENCE PATTERN OPTION...: the chart renders, and no line matches.
lacks() {
  local sentence=$1 pattern=$2 output
  shift 2
  if ! output=$(render "$@"); then bad "$sentence" "$output"
  elif grep -E -- "$pattern" <<<"$output" >"$work/found"; then bad "$sentence" "$(cat "$work/found")"
  else ok "$sentence"; fi
}

# refuses SENTENCE MESSAGE OPTION...: rendering fails and the text says why.
refuses() {
  local sentence=$1 message=$2 output
  shift 2
  if output=$(render "$@"); then bad "$sentence" "it was accepted"
  elif grep -qE -- "$message" <<<"$output"; then ok "$sentence"
  else bad "$sentence" "the message is not /$message/: $output"; fi
}

drift() {
  local file copies=("$chart"/files/crds/*.yaml) originals=(crds/atomicnf.dev_*.yaml)
  [ "${#copies[@]}" -eq "${#originals[@]}" ] || { printf '%s\n' "${copies[@]}"; return 1; }
  for file in "${originals[@]}"; do cmp "$file" "$chart/files/crds/$(basename "$file")" || return 1; done
}

runbooks() {
  local alert page
  grep -oE '^ *- alert: \w+' "$chart/templates/rules.yaml" | sed 's/.*: //' | while read -r alert; do
    page=docs/runbooks/$alert.md
    [ -s "$page" ] || { echo "alert $alert has no page $page"; exit 1; }
  done
}

# A name is an exporter's if it is registered there; counters and histograms end in what Prometheus adds.
metrics() {
  local name missing=0
  while read -r name; do
    grep -qE "\"(${name#anf_}|$(sed -E 's/^anf_//; s/_(total|bucket|sum|count)$//' <<<"$name"))\"" \
      operator/src/metrics.rs sidecar/src/serve/metrics.rs || { echo "nobody exports $name"; missing=1; }
  done < <(grep -rohE '\banf_[a-z_]+' "$chart/templates/rules.yaml" "$chart/files/dashboards" | sort -u)
  [ "$missing" -eq 0 ]
}

every_monitor=metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true,metrics.rules.enabled=true,metrics.dashboard.enabled=true

check "the chart passes helm lint" "$helm" lint --strict "$chart"
check "the chart's definitions are those of crds/ (charts/sync-crds.sh copies them)" drift
check "every alert has a runbook page" runbooks
check "every metric that alerts and dashboard ask for is exported" metrics
check "the dashboard is JSON" python3 -m json.tool "$chart/files/dashboards/migrations.json" /dev/null
check "everything renders with the defaults" render
check "everything renders with all monitoring switched on" render --set "$every_monitor"

has "both definitions are installed" '^  name: functionmigrations.atomicnf.dev$'
has "the definitions outlive the release" 'helm.sh/resource-policy: keep'
lacks "the definitions can be left to somebody else" 'CustomResourceDefinition' --set crds.install=false
lacks "the definitions can go with the release" 'resource-policy' --set crds.keep=false
lacks "monitoring resources are absent by default" 'monitoring.coreos.com/v1'
has "the operator runs without root" 'runAsNonRoot: true'
lacks "no container may write its root or gain privilege" 'readOnlyRootFilesystem: false|allowPrivilegeEscalation: true|privileged: true'
lacks "no rule of the roles has a wildcard" '"\*"|\[\*\]'
has "the operator learns the address of the store" 'value: "redis://atomicnf-redis.atomicnf-system.svc:6379"'
has "the store never evicts" '^        - noeviction$'
lacks "the store can be somebody else's" 'image: redis' --set redis.enabled=false,externalRedis.url=redis://r:6379
has "the operator learns the address of somebody else's store" 'value: "redis://r:6379"' --set redis.enabled=false,externalRedis.url=redis://r:6379
has "an image tag can be set" 'image: atomicnf/operator:abc' --set operator.image.tag=abc
has "the sidecar's image reaches the operator" 'value: atomicnf/sidecar:def' --set sidecar.image.tag=def
lacks "links stay away from the nodes' directories by default" 'ANF_LINK_DIRECTORY'
has "the directory that links share reaches the operator" 'value: "/run/atomicnf"' --set links.hostDirectory=/run/atomicnf
refuses "a directory of the nodes is a whole path" 'hostDirectory' --set links.hostDirectory=run/atomicnf
has "a registry with a port is a repository" 'image: r.example:5000/x/operator:0' --set operator.image.repository=r.example:5000/x/operator
has "names follow the release" 'name: atomicnf-operator$' --set nameOverride=""

has "what cannot run is refused at once" '^- name: admission.atomicnf.dev$'
has "evictions become migrations" 'resources: \[pods/eviction\]'
has "the webhook sees evictions of pods of functions alone" 'request.name.startsWith\("anf-"\)'
lacks "nothing waits for a webhook that is away" 'failurePolicy: Fail'
has "the operator learns how it is reached" 'value: atomicnf-webhook$'
lacks "the webhook can be left out, with the rights that it needs" \
  'webhook|admissionregistration' --set webhook.enabled=false

refuses "a webhook that may take minutes is refused" '/webhook/timeoutSeconds' --set webhook.timeoutSeconds=300
refuses "no store at all is refused" 'externalRedis.url: give the URL' --set redis.enabled=false
refuses "a misspelt value is refused" "additional propert.*'replica'" --set operator.replica=2
refuses "a misspelt part is refused" "additional propert.*'reddis'" --set reddis.enabled=false
refuses "a number of replicas that is a word is refused" '/operator/replicas' --set operator.replicas=two
refuses "a tag in the repository is refused" '/operator/image/repository' --set operator.image.repository=a/b:c
refuses "a store that is not Redis is refused" '/externalRedis/url' --set externalRedis.url=http://r
refuses "an unknown pull policy is refused" '/redis/image/pullPolicy' --set redis.image.pullPolicy=Sometimes
refuses "a memory limit without unit is refused" '/redis/maxMemory' --set redis.maxMemory=256
refuses "a service monitor without its service is refused" 'needs metrics.service.enabled' --set metrics.serviceMonitor.enabled=true,metrics.service.enabled=false

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
