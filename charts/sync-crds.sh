#!/usr/bin/env bash
# Copies the generated definitions into the chart, byte for byte. charts/test.sh fails when they differ.
set -euo pipefail
cd "$(dirname "$0")/.."

chart=charts/atomicnf/files/crds
mkdir -p "$chart"
rm -f "$chart"/*.yaml
cp crds/atomicnf.dev_*.yaml "$chart/"
