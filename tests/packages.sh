#!/bin/sh
# packages.sh WHAT PACKAGE...: installs the Debian packages that WHAT needs, if any is missing. On another system, or not as
# root, it says what is missing and changes nothing; the tests then report what they leave out.
set -eu

what=$1
shift
say() { printf '%s\n' "$what: $*" >&2; }

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "uses what this machine has: on Debian these would be the packages $*"
    exit 0
fi
missing=
for package in "$@"; do
    status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) || status=
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    say "these packages are missing, and only root can install them:$missing"
    exit 0
fi

say "installs the packages$missing and starts no service of theirs"
# Debian's way of saying so; a rule that is there already stays.
rule=/usr/sbin/policy-rc.d
if [ ! -e "$rule" ]; then
    trap 'rm -f "$rule"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$rule"
    chmod +x "$rule"
fi
install() {
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $missing >&2
}
install || { apt-get update >&2 && install; } ||
    say "they could not be installed; the tests report what they leave out"
