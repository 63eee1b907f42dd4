#!/bin/sh
# Builds etcd, kube-apiserver, kube-controller-manager, kubectl and the controller of JobSets from
# their Go modules into a cache folder outside the source tree, once for each version and each
# change of this folder. The JobSet manifests come along: jobset-crd.yaml and jobset-role.yaml.
#
#   build.sh                 builds what is missing; the last line on standard output is the folder
#   build.sh --print-folder  prints that folder and does nothing (needs no Go)
#
# KUBEBUILDER_ASSETS names a folder with etcd, kube-apiserver and kubectl: it is used as it is.
# KEYPORTER_CACHE moves the cache (default: $XDG_CACHE_HOME/keyporter or ~/.cache/keyporter).
# Exit status: 3 when Go is missing or too old.
set -eu

version=v1.36.3
here=$(cd "$(dirname "$0")" && pwd)

say() { printf '%s\n' "control plane: $*" >&2; }

checksum() {
    (cd "$here" && cat go.mod go.sum jobset/go.mod jobset/go.sum build.sh) | sha256sum | cut -c1-12
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
    missing=
    for name in etcd kube-apiserver kubectl; do
        [ -x "$KUBEBUILDER_ASSETS/$name" ] || missing="$missing $name"
    done
    if [ -z "$missing" ]; then
        [ "${1:-}" = --print-folder ] || say "uses KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS, builds nothing"
        printf '%s\n' "$KUBEBUILDER_ASSETS"
        exit 0
    fi
    say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS lacks$missing and is not used"
fi

cache=${KEYPORTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keyporter}
folder=$cache/control-plane/$version-$(checksum)
if [ "${1:-}" = --print-folder ]; then
    printf '%s\n' "$folder"
    exit 0
fi

commands='etcd=go.etcd.io/etcd/server/v3
kube-apiserver=k8s.io/kubernetes/cmd/kube-apiserver
kube-controller-manager=k8s.io/kubernetes/cmd/kube-controller-manager
kubectl=k8s.io/kubernetes/cmd/kubectl
jobset-controller=sigs.k8s.io/jobset'

# The folder of the Go module that a command is built from.
module_of() {
    case $1 in
    jobset-controller) printf '%s\n' "$here/jobset" ;;
    *) printf '%s\n' "$here" ;;
    esac
}

copy_jobset_manifests() {
    source=$(cd "$here/jobset" && go list -m -f '{{.Dir}}' sigs.k8s.io/jobset)/config/components
    cat "$source/crd/bases/jobset.x-k8s.io_jobsets.yaml" >"$folder/jobset-crd.yaml"
    cat "$source/rbac/role.yaml" >"$folder/jobset-role.yaml"
}

todo=
for command in $commands; do
    [ -x "$folder/${command%%=*}" ] || todo="$todo $command"
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
    say "needs Go $wanted or newer and found ${found:-none}: install Go," \
        "or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl"
    exit 3
fi

# Without these the server reports v0.0.0-master, and clients judge features by it.
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
say "builds $version once, some minutes, into $folder"
count=0
total=$(printf '%s\n' $todo | wc -l)
begin=$(date +%s)
for command in $todo; do
    name=${command%%=*}
    count=$((count + 1))
    say "$count/$total $name ..."
    start=$(date +%s)
    partial=$folder/.$name.$$
    # Three minutes without a word look like a hang.
    (while sleep 30; do say "$count/$total $name, $(($(date +%s) - start)) s so far"; done) &
    ticker=$!
    (cd "$(module_of "$name")" && CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off \
        go build -mod=readonly -trimpath -ldflags "$(printf '%s' "$flags" | tr '\n' ' ')" \
        -o "$partial" "${command#*=}") >&2
    kill "$ticker" 2>/dev/null || :
    ticker=
    [ "$name" != jobset-controller ] || copy_jobset_manifests
    # Under its own name only when whole: an interrupted build leaves nothing that looks done.
    mv "$partial" "$folder/$name"
    now=$(date +%s)
    say "$count/$total $name built in $((now - start)) s ($((now - begin)) s in all)"
done
printf '%s\n' "$folder"
