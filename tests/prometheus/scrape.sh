#!/usr/bin/env bash
# Runs the demo, has promtool check what it exposes, and a real Prometheus scrape it until the
# figures can be queried. Usage: scrape.sh PATH_OF_POSTROAD
set -euo pipefail
postroad=$1
dir=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Tries a command until it succeeds, for a minute at most.
wait_for() {
  local what=$1
  shift
  for _ in $(seq 240); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.25
  done
  echo "no $what within a minute" >&2
  tail -n 40 "$dir"/*.log >&2
  exit 1
}

metrics=$(free_port)
"$postroad" demo --store "$dir/store" --listen "127.0.0.1:$metrics" --duration 120 >"$dir/demo.log" 2>&1 &
pids+=($!)
# The page first: grep ends at the first match, and curl would complain of the closed pipe.
published() {
  local page
  page=$(curl -fs "http://127.0.0.1:$metrics/metrics/business") && grep -q '^postroad_day_volume{' <<<"$page"
}
wait_for "published figures" published
wait_for "readiness" curl -fs "http://127.0.0.1:$metrics/-/ready"
for page in metrics metrics/business; do
  curl -fs "http://127.0.0.1:$metrics/$page" >"$dir/page.txt"
  promtool check metrics <"$dir/page.txt"
  echo "promtool finds no fault in /$page: $(grep -vc '^#' "$dir/page.txt") series"
done

cat >"$dir/prometheus.yml" <<YML
global: { scrape_interval: 1s }
scrape_configs:
  - job_name: postroad
    static_configs: [{ targets: ["127.0.0.1:$metrics"] }]
  - job_name: postroad-business
    metrics_path: /metrics/business
    static_configs: [{ targets: ["127.0.0.1:$metrics"] }]
YML
api=$(free_port)
prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/tsdb" \
  --web.listen-address="127.0.0.1:$api" >"$dir/prometheus.log" 2>&1 &
pids+=($!)

# Whether a query has a result above zero.
holds() {
  curl -fs --data-urlencode "query=$1" "http://127.0.0.1:$api/api/v1/query" |
    python3 -c 'import json, sys; r = json.load(sys.stdin)["data"]["result"]; sys.exit(not (r and float(r[0]["value"][1]) > 0))'
}
for query in 'sum(postroad_records_total{outcome="applied"})' 'sum(postroad_day_volume)' \
  'count(postroad_prefecture_info)' 'sum(rate(postroad_records_total[15s]))' 'postroad_publisher'; do
  wait_for "result of $query" holds "$query"
  echo "Prometheus answers: $query"
done
