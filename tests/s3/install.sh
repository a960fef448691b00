#!/bin/sh
# Builds the S3 server of the real-broker suite, once, and prints the path of its binary.
#
# The source comes by Go's module proxy, whose checksums Go verifies. The binary is renamed into its place when it is
# complete, so an interrupted run leaves nothing that a later one would take for it.
set -eu

version=v1.8.0
package=github.com/versity/versitygw/cmd/versitygw
dir=${POSTROAD_S3_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/postroad/versitygw-$version}
dir=${dir%/}
binary=$dir/versitygw

if [ -x "$binary" ]; then
    printf '%s\n' "$binary"
    exit 0
fi

mkdir -p "$dir"

# One builder at a time where flock exists; the others wait and then find the binary.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$dir.lock"
    flock 9
    if [ -x "$binary" ]; then
        printf '%s\n' "$binary"
        exit 0
    fi
fi

partial=$dir/partial.$$
trap 'rm -rf -- "$partial"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir -- "$partial"
CGO_ENABLED=0 GOBIN=$partial go install -ldflags '-s -w' "$package@$version" >&2
mv -- "$partial/versitygw" "$binary"
printf '%s\n' "$binary"
