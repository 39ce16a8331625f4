#!/bin/sh
# Says in one line what this machine lacks; silent when nothing is missing. Usage: check_tools.sh PYTHON
set -eu

fail() {
  echo "tidewire: $1" >&2
  exit 2
}

command -v "$1" >/dev/null 2>&1 || fail "Python 3.11 or later is needed, and there is no $1 on the PATH"
"$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "Python 3.11 or later is needed; $("$1" --version 2>&1) is too old (PYTHON= names another)"
"$1" -c 'import ensurepip, venv' 2>/dev/null || fail "Python's venv module is needed (on Debian: package python3-venv)"
command -v node >/dev/null 2>&1 || fail "Node.js 20 or later is needed, and there is no node on the PATH"
node -e 'process.exit(+(parseInt(process.versions.node, 10) < 20))' ||
  fail "Node.js 20 or later is needed; this is $(node --version)"
command -v npm >/dev/null 2>&1 || fail "npm is needed, and there is none on the PATH"
