#!/bin/sh
# Builds Helm, helm-unittest and helm-docs from their Go modules into a cache folder outside the source tree, once for each
# version and each change of this folder.
#
#   build.sh                 builds what is missing; the last line on standard output is the folder
#   build.sh --print-folder  prints that folder and does nothing (needs no Go)
#
# KEYPORTER_CACHE moves the cache (default: $XDG_CACHE_HOME/keyporter or ~/.cache/keyporter).
# Exit status: 3 when Go is missing or too old.
set -eu

version=v3.22.0
here=$(cd "$(dirname "$0")" && pwd)

say() { printf '%s\n' "chart tools: $*" >&2; }

checksum() {
    (cd "$here" && cat go.mod go.sum docs/go.mod docs/go.sum build.sh) | sha256sum | cut -c1-12
}

cache=${KEYPORTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keyporter}
folder=$cache/chart-tools/$version-$(checksum)
if [ "${1:-}" = --print-folder ]; then
    printf '%s\n' "$folder"
    exit 0
fi

commands='helm=helm.sh/helm/v3/cmd/helm
helm-unittest=github.com/helm-unittest/helm-unittest/cmd/helm-unittest
helm-docs=github.com/norwoodj/helm-docs/cmd/helm-docs'

# The folder of the Go module that a command is built from. helm-docs is built on a Helm of its own.
module_of() {
    case $1 in
    helm-docs) printf '%s\n' "$here/docs" ;;
    *) printf '%s\n' "$here" ;;
    esac
}

todo=
for command in $commands; do
    [ -x "$folder/${command%%=*}" ] || todo="$todo $command"
done
if [ -z "$todo" ]; then
    say "Helm $version is built"
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

# Without these Helm takes every cluster that it cannot ask for Kubernetes 1.20. They are those of Helm's own Makefile.
minor=$(sed -n 's|^[[:space:]]*k8s.io/client-go v0\.\([0-9]*\)\..*|\1|p' "$here/go.mod" | head -n 1)
flags="-s -w
 -X helm.sh/helm/v3/internal/version.version=$version
 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1
 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=$minor
 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1
 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$minor"

mkdir -p "$folder"
partial=
ticker=
trap 'rm -f "$partial"; [ -z "$ticker" ] || kill "$ticker" 2>/dev/null' EXIT
trap 'exit 130' INT TERM
say "builds Helm $version and its tools once, some minutes, into $folder"
for command in $todo; do
    name=${command%%=*}
    start=$(date +%s)
    partial=$folder/.$name.$$
    # Three minutes without a word look like a hang.
    (while sleep 30; do say "$name, $(($(date +%s) - start)) s so far"; done) &
    ticker=$!
    (cd "$(module_of "$name")" && CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off \
        go build -mod=readonly -trimpath -ldflags "$(printf '%s' "$flags" | tr '\n' ' ')" \
        -o "$partial" "${command#*=}") >&2
    kill "$ticker" 2>/dev/null || :
    ticker=
    # Under its own name only when whole: an interrupted build leaves nothing that looks done.
    mv "$partial" "$folder/$name"
    say "$name built in $(($(date +%s) - start)) s"
done
printf '%s\n' "$folder"
