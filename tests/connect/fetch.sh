#!/usr/bin/env bash
# Lays Kafka, Kafka Connect and Debezium's connectors out under .cache/connect, by Maven; pom.xml beside it says what and which versions.
# Does nothing when they are there already; whoever comes while another one fetches waits for it.
set -euo pipefail
cd "$(dirname "$0")"

store=../../.cache/connect
mkdir -p "$store"
exec 9>"$store/lock"
flock 9
if cmp -s pom.xml "$store/pom.xml"; then
  exit 0
fi
echo "setup: mvn package of tests/connect: Kafka, Kafka Connect and Debezium's connectors into .cache/connect (120 MB)"
# What other versions have left behind would be on the class path too.
rm -rf "$store/lib" "$store/plugins" "$store/maven" "$store/pom.xml"
mvn --quiet --batch-mode package
# Last: what is half there is fetched again.
cp pom.xml "$store/pom.xml"
