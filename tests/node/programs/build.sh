#!/bin/sh
# Builds kubelet, kube-scheduler and kube-proxy from their Go modules, into a cache folder outside
# the source tree, once for each version and each change of this folder.
#
#   build.sh                 builds what is missing; the last line on standard output is the folder
#   build.sh --print-folder  prints that folder and does nothing (needs no Go)
#
# A folder and a module of its own beside tests/control-plane: what changes here does not make
# anybody build the control plane again.
# KEYPORTER_CACHE moves the cache (default: $XDG_CACHE_HOME/keyporter or ~/.cache/keyporter).
# Exit status: 3 when Go is missing or too old.
set -eu

version=v1.36.3
here=$(cd "$(dirname "$0")" && pwd)
cache=${KEYPORTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keyporter}
folder=$cache/node/$version-$(cd "$here" && cat go.mod go.sum build.sh | sha256sum | cut -c1-12)
if [ "${1:-}" = --print-folder ]; then
    printf '%s\n' "$folder"
    exit 0
fi

say() { printf '%s\n' "node: $*" >&2; }

todo=
for name in kubelet kube-scheduler kube-proxy; do
    [ -x "$folder/$name" ] || todo="$todo $name"
done
if [ -z "$todo" ]; then
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

# Without these the node reports v0.0.0-master.
minor=${version#v1.}
flags="-s -w
 -X k8s.io/component-base/version.gitVersion=$version
 -X k8s.io/component-base/version.gitMajor=1
 -X k8s.io/component-base/version.gitMinor=${minor%%.*}
 -X k8s.io/client-go/pkg/version.gitVersion=$version"

mkdir -p "$folder"
partial=
ticker=
trap 'rm -f "$partial"; [ -z "$ticker" ] || kill "$ticker" 2>/dev/null' EXIT
trap 'exit 130' INT TERM
say "builds$todo $version once, some minutes, into $folder"
for name in $todo; do
    start=$(date +%s)
    partial=$folder/.$name.$$
    # Three minutes without a word look like a hang.
    (while sleep 30; do say "$name, $(($(date +%s) - start)) s so far"; done) &
    ticker=$!
    (cd "$here" && CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off \
        go build -mod=readonly -trimpath -ldflags "$(printf '%s' "$flags" | tr '\n' ' ')" \
        -o "$partial" "k8s.io/kubernetes/cmd/$name") >&2
    kill "$ticker" 2>/dev/null || :
    ticker=
    # Under its own name only when whole: an interrupted build leaves nothing that looks done.
    mv "$partial" "$folder/$name"
    say "$name built in $(($(date +%s) - start)) s"
done
printf '%s\n' "$folder"
