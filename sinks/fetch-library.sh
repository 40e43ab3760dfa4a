#!/usr/bin/env bash
# Fetches ClickHouse as a library (libchdb.so) into DIR, for `chengmai` without a ClickHouse server of its own.
#
#   sinks/fetch-library.sh [DIR]        DIR defaults to <repository>/.cache/clickhouse/26.7
#
# The library comes from the npm registry that npm is configured for, by npm itself, and is accepted only if the
# archive has the sha512 pinned below. Running it again costs nothing: a library that is there is kept. The download
# (about 180 MB) and the library (about 570 MB) need 1 GB of free space in DIR for a moment.
set -euo pipefail

# One row per machine: package, version and npm's own integrity value. A new version is a new pair of values here.
VERSION=26.7.3-stable.1
case "$(uname -s)-$(uname -m)" in
Linux-x86_64)
    PACKAGE=@chdb/lib-linux-x64-gnu
    INTEGRITY=sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==
    ;;
*)
    echo "fetch-library: no ClickHouse library is pinned for $(uname -s) on $(uname -m);" \
        "run a ClickHouse server (24.3 or newer) and set clickhouse.url instead" >&2
    exit 1
    ;;
esac

fail() {
    echo "fetch-library: $*" >&2
    exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${1:-$root/.cache/clickhouse/26.7}
library=$dir/libchdb.so
stamp=$dir/libchdb.so.from

wanted="$PACKAGE@$VERSION $INTEGRITY"
if [[ -s $library && -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    echo "fetch-library: $library is there already"
    exit 0
fi

for tool in npm openssl tar flock; do
    command -v "$tool" >/dev/null || fail "the tool '$tool' is needed and was not found"
done
mkdir -p "$dir" || fail "cannot create $dir"

# Two builds at once must not write into each other's files.
exec 9>"$dir/.lock"
flock -n 9 || { echo "fetch-library: waiting for another fetch into $dir"; flock -w 1800 9 || fail "still locked after 30 min"; }
if [[ -s $library && -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    echo "fetch-library: $library is there already"
    exit 0
fi
free_kb=$(df -Pk "$dir" | awk 'NR == 2 { print $4 }')
((free_kb > 1000000)) || fail "$dir has $((free_kb / 1024)) MB free; 1000 MB are needed"

work=$(mktemp -d "$dir/fetch.XXXXXX")
downloader=
trap '[[ -z $downloader ]] || kill "$downloader" 2>/dev/null || true; rm -rf "$work"' EXIT

# npm shows nothing while it downloads, so the growth of its files is shown instead. Its cache is kept inside the work
# folder: the archive is needed once, and the library is what is cached.
echo "fetch-library: downloading $PACKAGE@$VERSION (about 180 MB)"
(cd "$work" && exec timeout 1800 npm pack --silent --fetch-retries=5 --cache "$work/npm" "$PACKAGE@$VERSION" \
    >"$work/npm.out" 2>"$work/npm.err") &
downloader=$!
seconds=0
while kill -0 "$downloader" 2>/dev/null; do
    sleep 1
    seconds=$((seconds + 1))
    done_mb=$(($(du -sk "$work" 2>/dev/null | cut -f1) / 1024))
    if [[ -t 1 ]]; then
        printf '\rfetch-library: %4d MB, %d s' "$done_mb" "$seconds"
    elif ((seconds % 10 == 0)); then
        echo "fetch-library: $done_mb MB, $seconds s"
    fi
done
[[ ! -t 1 ]] || echo
if ! wait "$downloader"; then
    downloader=
    cat "$work/npm.err" "$work/npm.out" >&2
    fail "npm could not download $PACKAGE@$VERSION; is the network there, and npm's registry right (npm config get registry)?"
fi
downloader=

archive=$(find "$work" -maxdepth 1 -name '*.tgz' | head -n 1)
[[ -n $archive ]] || fail "npm wrote no archive"
found=sha512-$(openssl dgst -sha512 -binary "$archive" | openssl base64 -A)
[[ $found == "$INTEGRITY" ]] || fail "the archive is not the expected one: found $found, expected $INTEGRITY"

echo "fetch-library: unpacking"
rm -rf "$work/npm"
tar -xzf "$archive" -C "$work" package/libchdb.so || fail "the archive holds no package/libchdb.so"
# The stamp is written last: a library without it is fetched again.
rm -f "$stamp"
mv "$work/package/libchdb.so" "$library"
echo "$wanted" >"$stamp"
echo "fetch-library: $library is ready ($(($(stat -c %s "$library") / 1048576)) MB)"
