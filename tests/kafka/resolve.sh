#!/bin/sh
# Puts the jars of pom.xml into a cache directory and prints that directory.
#
# The cache is complete exactly when it holds a stamp named after the hash of pom.xml: jars are collected in a sibling
# directory, which is renamed into place with its stamp inside, so an interrupted run leaves the cache as it was.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
pom=$here/pom.xml

version=$(sed -n 's:.*<kafka\.version>\(.*\)</kafka\.version>.*:\1:p' "$pom")
if command -v sha256sum >/dev/null 2>&1; then
    hash=$(sha256sum <"$pom" | cut -c1-16)
else
    hash=$(shasum -a 256 <"$pom" | cut -c1-16)
fi
dir=${POSTROAD_KAFKA_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/postroad/kafka-$version}
dir=${dir%/}
stamp=resolved-$hash

if [ -e "$dir/$stamp" ]; then
    printf '%s\n' "$dir"
    exit 0
fi

mkdir -p "$(dirname -- "$dir")"

# One resolver at a time where flock exists; the others wait and then find the stamp.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$dir.lock"
    flock 9
    if [ -e "$dir/$stamp" ]; then
        printf '%s\n' "$dir"
        exit 0
    fi
    # Under the lock, whatever a killed run left behind belongs to nobody.
    rm -rf -- "$dir".partial.* "$dir".old.*
fi

# Only a directory that this script made is ever replaced: POSTROAD_KAFKA_DIR may name anything.
if [ -e "$dir" ] && [ -n "$(ls -A -- "$dir")" ]; then
    set -- "$dir"/resolved-*
    if [ ! -e "$1" ]; then
        printf '%s\n' "resolve.sh: $dir is not a jar cache; empty it or set POSTROAD_KAFKA_DIR to another directory" >&2
        exit 1
    fi
fi

partial=$dir.partial.$$
old=$dir.old.$$
trap 'rm -rf -- "$partial" "$old"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir -- "$partial"
mvn --quiet --batch-mode -Dstyle.color=never --strict-checksums --file "$pom" -Dbroker.directory="$partial" package >&2
: >"$partial/$stamp"
if [ -e "$dir" ]; then
    mv -- "$dir" "$old"
fi
mv -- "$partial" "$dir"
printf '%s\n' "$dir"
