#!/usr/bin/env bash
# Lays servers of PostgreSQL 14, 16, 17 and 18 out under .cache/postgres/<version>, by Maven; pom.xml beside it says which
# versions. Does nothing when they are there already; whoever comes while another one fetches waits for it.
set -euo pipefail
cd "$(dirname "$0")"

store=../../.cache/postgres
mkdir -p "$store"
exec 9>"$store/lock"
flock 9
if cmp -s pom.xml "$store/pom.xml"; then
  exit 0
fi
echo "setup: mvn package of tests/postgres: servers of PostgreSQL 14, 16, 17 and 18 into .cache/postgres (150 MB)"
rm -rf "$store/maven" "$store/pom.xml" "$store"/[0-9]*
mvn --quiet --batch-mode package
for version in "$store"/maven/[0-9]*; do
  place=$store/$(basename "$version")
  mkdir -p "$place"
  tar -xJf "$version"/postgres-linux-*.txz -C "$place"
done
rm -rf "$store/maven"
# Last: what is half there is fetched again.
cp pom.xml "$store/pom.xml"
