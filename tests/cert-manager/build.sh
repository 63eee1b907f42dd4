#!/bin/sh
# Builds cert-manager's controllers from its Go module into a cache folder outside the source tree, once for each version and
# each change of this folder. Its definitions come along: cert-manager-crds.yaml.
#
#   build.sh                 builds what is missing; the last line on standard output is the folder
#   build.sh --print-folder  prints that folder and does nothing (needs no Go)
#
# KEYPORTER_CACHE moves the cache (default: $XDG_CACHE_HOME/keyporter or ~/.cache/keyporter).
# Exit status: 3 when Go is missing or too old.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
module=github.com/cert-manager/cert-manager
version=$(sed -n "s|^[[:space:]]*$module \(v[^ ]*\).*|\1|p" "$here/go.mod" | head -n 1)

say() { printf '%s\n' "cert-manager: $*" >&2; }

checksum() {
    (cd "$here" && cat go.mod go.sum main.go build.sh) | sha256sum | cut -c1-12
}

cache=${KEYPORTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keyporter}
folder=$cache/cert-manager/$version-$(checksum)
if [ "${1:-}" = --print-folder ]; then
    printf '%s\n' "$folder"
    exit 0
fi
if [ -x "$folder/cert-manager" ] && [ -e "$folder/cert-manager-crds.yaml" ]; then
    say "$version is built"
    printf '%s\n' "$folder"
    exit 0
fi

wanted=$(sed -n 's/^go //p' "$here/go.mod")
found=$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//') || found=
lowest=$(printf '%s\n%s\n' "$wanted" "${found:-0}" | sort -V | head -n 1)
if [ "$lowest" != "$wanted" ]; then
    say "needs Go $wanted or newer and found ${found:-none}: install Go"
    exit 3
fi

mkdir -p "$folder"
partial=$folder/.cert-manager.$$
ticker=
trap 'rm -f "$partial"; [ -z "$ticker" ] || kill "$ticker" 2>/dev/null' EXIT
trap 'exit 130' INT TERM
say "builds $version once, some minutes, into $folder"
start=$(date +%s)
# Three minutes without a word look like a hang.
(while sleep 30; do say "$(($(date +%s) - start)) s so far"; done) &
ticker=$!
export CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off
(cd "$here" && go build -mod=readonly -trimpath -ldflags '-s -w' -o "$partial" .) >&2
kill "$ticker" 2>/dev/null || :
ticker=
source=$(cd "$here" && go list -mod=readonly -m -f '{{.Dir}}' "$module")/deploy/crds
cat "$source"/*.yaml >"$folder/cert-manager-crds.yaml"
# Under its own name only when whole: an interrupted build leaves nothing that looks done.
mv "$partial" "$folder/cert-manager"
say "built in $(($(date +%s) - start)) s"
printf '%s\n' "$folder"
