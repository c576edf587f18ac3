# Shared by the groups of deploy/test. Each group runs in a shell of its own with ROOT, RINGWIRE_TEST_GROUP,
# RINGWIRE_TEST_TARGET and RINGWIRE_TEST_TALLY set, and adds what it counted with `tally`.
set -uo pipefail
cd "$ROOT" || exit 1

JS=$ROOT/deploy/test.d/js
LOGS=$RINGWIRE_TEST_TARGET/test-logs
mkdir -p "$LOGS"

say() { printf '[%4ds] %s: %s\n' "$SECONDS" "$RINGWIRE_TEST_GROUP" "$*"; }

# tally PASSED FAILED
tally() { printf '%d %d\n' "$1" "$2" >>"$RINGWIRE_TEST_TALLY/$RINGWIRE_TEST_GROUP"; }

# A step that counts as one test: check NAME COMMAND...
check() {
  local name=$1
  shift
  if "$@"; then
    say "$name: ok"
    tally 1 0
  else
    say "$name: FAILED"
    tally 0 1
  fi
}

# Something without which the group cannot run.
need() {
  local name=$1
  shift
  "$@" && return
  say "$name failed"
  tally 0 1
  exit 1
}

# cargo_test NAME ARGUMENT...: `cargo test --workspace ARGUMENT...`, counting its tests. It fails if no test ran.
# Always the whole workspace: with one package alone its dependencies have other features and are built again.
cargo_test() {
  local name=$1 log="$LOGS/$RINGWIRE_TEST_GROUP-${1//[^A-Za-z0-9]/-}.log" began=$SECONDS code good bad
  shift
  say "$name"
  cargo test --locked --workspace --no-fail-fast "$@" >"$log" 2>&1
  code=$?
  read -r good bad < <(awk '/^test result: / { good += $4; bad += $6 } END { print good + 0, bad + 0 }' "$log")
  if ((code != 0 && bad == 0)) || ((good + bad == 0)); then bad=1; fi
  tally "$good" "$bad"
  if ((bad > 0)); then
    grep -vE '^test .* \.\.\. (ok|ignored.*)$|^ +(Compiling|Checking|Fresh|Downloaded) ' "$log" | tail -n 200
  fi
  say "$name: $good ok, $bad wrong, $((SECONDS - began)) s"
  ((bad == 0))
}

# apt_install COMMAND PACKAGE...: installs the packages unless COMMAND is there.
apt_install() {
  local command=$1
  shift
  command -v "$command" >/dev/null && return
  say "installing $* with apt-get"
  if ! apt-get install -y -q "$@" >"$LOGS/apt.log" 2>&1; then
    { apt-get update -q && apt-get install -y -q "$@"; } >"$LOGS/apt.log" 2>&1 || { tail -n 20 "$LOGS/apt.log"; return 1; }
  fi
}

# The packages of deploy/test.d/js, as its lock file has them.
js_packages() {
  apt_install node nodejs || return
  apt_install npm npm || return
  cmp -s "$JS/package-lock.json" "$JS/node_modules/.installed-lock.json" && return
  say "installing npm packages into deploy/test.d/js"
  (cd "$JS" && npm ci --ignore-scripts --no-audit --no-fund) >"$LOGS/npm.log" 2>&1 || { tail -n 20 "$LOGS/npm.log"; return 1; }
  cp "$JS/package-lock.json" "$JS/node_modules/.installed-lock.json"
}

# node_test FILE...: files of deploy/test.d/js with Node's own runner, counting their tests.
node_test() {
  local tap began=$SECONDS code good bad
  tap=$LOGS/$RINGWIRE_TEST_GROUP.tap
  rm -f "$tap"
  (cd "$JS" && node --test --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=tap --test-reporter-destination="$tap" "$@")
  code=$?
  read -r good bad < <(awk '/^# pass / { good = $3 } /^# (fail|cancelled) / { bad += $3 } END { print good + 0, bad + 0 }' "$tap")
  if ((code != 0 && bad == 0)) || ((good + bad == 0)); then bad=1; fi
  tally "$good" "$bad"
  say "$good ok, $bad wrong, $((SECONDS - began)) s"
  ((bad == 0))
}

# The binaries as users run them.
# With the examples some groups need: one command with one set of features, so that nothing is built twice.
release_binaries() {
  say "building the release binaries"
  cargo build --locked --release -p ringwire-control -p ringwire-gateway --bins --examples >"$LOGS/release.log" 2>&1 || { tail -n 60 "$LOGS/release.log"; return 1; }
}
