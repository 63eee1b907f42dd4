#!/bin/sh
# Builds the image of deploy/Dockerfile without any registry of images: the program with this machine's Rust, by the commands
# of the Dockerfile's stage `build`, and the other stages by buildah.
#
#   build.sh                  builds what changed; the last line on standard output is the archive, as `docker save` has it
#   build.sh --again ARCHIVE  builds the image anew, of the program that was built before, into that file
#   build.sh --print-archive  prints where the archive is and does nothing
#
# It lies in Cargo's target folder. Exit status: 3 when buildah is missing.
set -eu

name=keyporter.test/keyporter:1
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${CARGO_TARGET_DIR:-$root/target}/image
archive=$folder/keyporter.tar
say() { printf '%s\n' "image: $*" >&2; }

case ${1:-} in
--print-archive)
    printf '%s\n' "$archive"
    exit
    ;;
--again) archive=$2 ;;
esac
if ! command -v buildah >/dev/null; then
    say 'needs buildah: on Debian, apt-get install buildah'
    exit 3
fi
mkdir -p "$folder/context"

if [ $# = 0 ]; then
    # What Cargo tells the tests that it runs would have build scripts run again, each time another one calls.
    for variable in $(env | sed -n 's/^\(CARGO_\(PKG\|MANIFEST\|BIN\|CRATE\|PRIMARY\)_[A-Za-z0-9_]*\)=.*/\1/p'); do
        unset "$variable"
    done
    host=$(rustc -vV | sed -n 's/^host: //p')
    cargo=${CARGO_HOME:-$HOME/.cargo}
    start=$(date +%s)
    say "builds the static program, some minutes for the first time, in $folder"
    cd "$root"
    RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$cargo=/cargo --remap-path-prefix=$root=/keyporter" \
        cargo build --release --locked --bin keyporter --target "$host" --target-dir "$folder/target" >&2
    say "the program took $(($(date +%s) - start)) s"
    cp "$folder/target/$host/release/keyporter" "$folder/context/keyporter"
fi

# A store of its own, and gone afterwards.
store=$(mktemp -d "$folder/store-XXXXXX")
trap 'rm -rf "$store"' EXIT
trap 'exit 130' INT TERM
printf '{"default": [{"type": "insecureAcceptAnything"}]}' >"$store/policy.json"
our_buildah() {
    command=$1
    shift
    TMPDIR=$store buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs "$command" \
        --signature-policy "$store/policy.json" "$@" >&2
}
our_buildah build --quiet --isolation chroot --timestamp 0 --build-arg PROGRAM=prebuilt \
    --file "$root/deploy/Dockerfile" --tag "$name" "$folder/context"
our_buildah push --quiet "$name" "docker-archive:$store/image.tar:$name"
# Whole or not at all: another run may be reading it.
mv "$store/image.tar" "$archive"
printf '%s\n' "$archive"
