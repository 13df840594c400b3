#!/usr/bin/env sh
# Installs the Node.js client that the receivers are tested with, exactly as locked, next to this file.
# No package may run a script of its own.
set -eu
cd "$(dirname "$0")"
if ! command -v npm >/dev/null 2>&1; then
    echo "npm is missing; install Node.js 18.19 or newer to run the tests marked node" >&2
    exit 1
fi
stamp=node_modules/.installed
if [ -f "$stamp" ] && [ "$stamp" -nt package-lock.json ]; then
    exit 0
fi
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
touch "$stamp"
