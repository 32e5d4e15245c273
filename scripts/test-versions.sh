#!/usr/bin/env bash
# Runs what depends on PostgreSQL's version on the other versions that are supported: the tests of segcdc-postgres, every
# type by copy and stream, what each version has of its own, failover, changes of schema; on the oldest and the newest besides a
# short kill loop, prepared transactions, tables without a key and with a chosen one, transactions that run while they are sent, partitions, kinds of tables
# and copies in pieces. Version 15 is the one of scripts/test.sh, which runs everything on it and calls this.
#
#   scripts/test-versions.sh [VERSION...]    all of 14 16 17 18 without an argument
#
# SEGCDC_VERSIONS_WHOLE=1 runs all tests of the engine and of the product on each, those on Kafka Connect apart, whose source is the
# same connector whatever the version: about a quarter of an hour a version. scripts/soak.sh does that.
#
# The servers are those of tests/postgres/pom.xml; SEGCDC_TEST_SKIP_VERSIONS=REASON leaves all of it out.
set -uo pipefail
cd "$(dirname "$0")/.."

if [ -n "${SEGCDC_TEST_SKIP_VERSIONS:-}" ]; then
  printf 'skipped, other versions of PostgreSQL: %s\n' "$SEGCDC_TEST_SKIP_VERSIONS"
  exit 0
fi
if [ "$(uname -sm)" != "Linux x86_64" ]; then
  printf 'skipped, other versions of PostgreSQL: there are servers for Linux on x86_64 only, this is %s\n' "$(uname -sm)"
  exit 0
fi
tests/postgres/fetch.sh || exit 1

# Started by root, a server runs as the user postgres, who may not be allowed to see the folder of this checkout.
servers=$PWD/.cache/postgres
if [ "$(id -u)" = 0 ] && ! runuser -u postgres -- test -x "$servers/14/bin/postgres"; then
  servers=$(mktemp -d /tmp/segcdc-servers-XXXXXX) && chmod 755 "$servers" && cp -a .cache/postgres/. "$servers" || exit 1
  trap 'rm -rf "$servers"' EXIT
  printf 'the user postgres cannot reach %s: servers copied to %s\n' "$PWD" "$servers"
fi

export SEGCDC_TEST_PYTHON=${SEGCDC_TEST_PYTHON:-$PWD/.cache/venv/bin/python}
export SEGCDC_KILLS=${SEGCDC_KILLS:-12}

# The programs that `cargo test` has built already, with the same features: "package target path".
programs=$(cargo test --locked --workspace --features segcdc/failpoints --no-run --message-format=json | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("reason") == "compiler-artifact" and message.get("executable"):
        package = message["manifest_path"].split("/")[-2]
        print(package, message["target"]["name"], message["executable"])') || exit 1
program() { awk -v package="$1" -v target="$2" '$1 == package && $2 == target { print $3 }' <<<"$programs"; }

failed=0
# Runs some tests of a program in its package's folder, as cargo does.
run() {
  local package=$1 target=$2 path
  shift 2
  path=$(program "$package" "$target")
  printf '== PostgreSQL %s: %s %s %s\n' "$version" "$package" "$target" "$*"
  [ -n "$path" ] || { printf 'there is no such test program\n'; failed=1; return; }
  (cd "crates/$package" && "$path" "$@") || failed=1
}

[ $# -gt 0 ] || set -- 14 16 17 18
for version in "$@"; do
  export SEGCDC_TEST_PG_BIN=$servers/$version/bin
  "$SEGCDC_TEST_PG_BIN/postgres" --version || exit 1
  run postgres it
  if [ -n "${SEGCDC_VERSIONS_WHOLE:-}" ]; then
    run engine-native it
    run segcdc e2e --skip kafka
    continue
  fi
  of_each=(matrix::every_type versions:: failover:: schema_changes::)
  # What no version changed since, if it is right on both sides of it.
  of_ends=(kill_loop:: prepared:: bags:: chosen_key:: edges::full_disk_and_limit partitions:: table_kinds:: big_tables::)
  case $version in
    14 | 18) run segcdc e2e "${of_each[@]}" "${of_ends[@]}"; run engine-native it chunked:: ;;
    *) run segcdc e2e "${of_each[@]}" ;;
  esac
done
exit "$failed"
