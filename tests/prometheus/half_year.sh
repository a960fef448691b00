#!/usr/bin/env bash
# Plants a half-year meeting's findings in a live pipeline, and sees to it that its gauges, the alerts and
# the dashboards show them: with a real Prometheus and a real Alertmanager. Usage: half_year.sh PATH_OF_POSTROAD
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
postroad=$1
dir=$(mktemp -d)
cleanup() {
  kill "$demo" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$dir"
}
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
address=127.0.0.1:$port
"$postroad" demo --scenario half-year --store "$dir/store" --listen "$address" --duration 600 >"$dir/demo.log" 2>&1 &
demo=$!
trap cleanup EXIT

# The value of a series; nothing while it is not there.
value() {
  curl -fs "http://$address/metrics/business" | awk -v series="$1" '$1 == series { print $2 }'
}

# Waits for a minute at most until a series has a value.
expect() {
  local found
  for _ in $(seq 240); do
    found=$(value "$1" || true)
    if [ "$found" = "$2" ]; then
      echo "$1 is $2"
      return
    fi
    sleep 0.25
  done
  echo "$1 is ${found:-absent}, not $2" >&2
  tail -n 20 "$dir/demo.log" >&2
  exit 1
}

expect 'postroad_lagging_prefectures{versus="local"}' 6
expect 'postroad_lagging_prefectures{versus="industry"}' 13
expect 'postroad_laggards' 13
expect 'postroad_prefectures' 14
expect 'postroad_light{line="parcel",measure="revenue",prefecture="210900",versus="local"}' 2
expect 'postroad_province_light{line="parcel",measure="volume",province="210000",versus="industry"}' 2
expect 'postroad_ledger_difference_records' 0

python3 tests/prometheus/growth_agrees.py --target "$address" --postroad "$postroad" --store "$dir/store"
python3 tests/prometheus/alerts_end_to_end.py --target "$address" --expect LaggingRed --prefecture 210900
python3 tests/grafana/check_dashboards.py --target "$address"

# Another figure for one economy, and one prefecture less behind its own: without a restart.
sed -i 's/^\(local,prefecture,210400,.*\),7\.9,/\1,3.0,/' "$dir/store/reference/benchmarks.csv"
expect 'postroad_lagging_prefectures{versus="local"}' 5
