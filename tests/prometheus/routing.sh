#!/usr/bin/env bash
# Whether alerts reach who ought to be told: amtool routes one of each kind, and check_alerts.py sees that every alert of the
# rules files is one of these kinds. Usage: routing.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
config=deploy/alertmanager/alertmanager.yml
amtool check-config "$config"

# routes RECEIVER LABEL=VALUE…
routes() {
  local receiver=$1
  shift
  said=$(amtool config routes test --config.file="$config" --verify.receivers="$receiver" "$@" 2>&1) ||
    { echo "not for $receiver: $*: $said" >&2; exit 1; }
  echo "$receiver is told: $*"
}
routes branch-managers team=business severity=red alertname=LaggingRed prefecture=210300
routes branch-managers team=business severity=yellow alertname=PeakOverload prefecture=210300
routes province-office team=business severity=red alertname=ManyPrefecturesLagging
routes province-office team=business severity=yellow alertname=GrowthImbalance province=210000
routes engineers-page team=pipeline severity=page alertname=NoPublisher
routes engineers-page team=pipeline severity=page alertname=PrefectureSilent prefecture=210300
routes engineers-ticket team=pipeline severity=ticket alertname=RejectsHigh
routes engineers-ticket alertname=SomethingElse

python3 tests/prometheus/check_alerts.py
