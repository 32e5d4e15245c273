#!/usr/bin/env bash
# Runs every test and counts them over all runners. Arguments go to cargo test: `scripts/test.sh -p segcdc-plan`.
# The last line is `N passed, N failed`; the exit status is non-zero if anything failed or nothing ran.
set -uo pipefail
cd "$(dirname "$0")/.."

LOG=target/test.log
CLOSING=target/closing-line
mkdir -p target
rm -f "$CLOSING"
: >"$LOG"

# The independent clients of scripts/requirements-test.txt, for tests that compare with them.
export SEGCDC_TEST_PYTHON=${SEGCDC_TEST_PYTHON:-$PWD/.cache/venv/bin/python}

# Tests wait for servers much of their time: one more at once than there are cores.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) + 1))}

failed_runners=0

# Shows a runner's output and keeps it for counting.
runner() {
  printf '== %s\n' "$*"
  "$@" 2>&1 | tee -a "$LOG"
  local status=${PIPESTATUS[0]}
  [ "$status" = 0 ] || failed_runners=$((failed_runners + 1))
}

scope=("$@")
# With the points at which tests make the product die; they do nothing unless one is named in the environment.
[ ${#scope[@]} -gt 0 ] || scope=(--workspace --features segcdc/failpoints)
runner cargo test --locked --no-fail-fast "${scope[@]}"
# The TDS client before Microsoft's mock server, outside of the workspace for its OpenSSL.
[ $# -gt 0 ] || runner cargo test --locked --no-fail-fast --manifest-path tests/mock-tds/Cargo.toml --target-dir target/mock-tds
# What depends on PostgreSQL's version, on the other versions; a server that was named is the only one.
[ $# -gt 0 ] || [ -n "${SEGCDC_TEST_PG_BIN:-}" ] || runner scripts/test-versions.sh

# "test result: ok. 12 passed; 0 failed; 1 ignored; ..."
read -r passed failed skipped < <(awk '
  /^test result: / { passed += $4; failed += $6; skipped += $8 }
  END { print passed + 0, failed + 0, skipped + 0 }' "$LOG")

# A runner that broke without a counted failure, by a compile error say, is one failure.
if [ "$failed_runners" -gt 0 ] && [ "$failed" = 0 ]; then
  failed=$failed_runners
fi

printf '\n'
[ "$skipped" = 0 ] || printf '%s skipped\n' "$skipped"
printf '%s passed, %s failed\n' "$passed" "$failed" | tee "$CLOSING"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
