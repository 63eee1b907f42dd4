#!/bin/sh
# Lints the chart, runs its unit tests, and compares its README with its values.
#
#   check.sh FOLDER          FOLDER has the programs: the last line that build.sh prints
#   check.sh FOLDER --write  writes the README anew instead of comparing it
set -eu

tools=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
chart=$root/deploy/helm/keyporter

document() {
    "$tools/helm-docs" --log-level=warning --sort-values-order=file --chart-search-root="$chart" "$@"
}

if [ "${2:-}" = --write ]; then
    document
    exit
fi
"$tools/helm" lint --strict --quiet "$chart"
"$tools/helm-unittest" --strict "$chart"
document --dry-run | diff -u "$chart/README.md" - || {
    echo "README.md of the chart is not what its values say; 'tests/chart-tools/check.sh $tools --write' writes it" >&2
    exit 1
}
