#!/usr/bin/env sh
# Installs what tests look at our output with, where Debian's packages can be installed: promtool (package prometheus)
# reads the monitors we write, Chromium opens the pages, strace sees what the server writes. No service is started.
set -eu
wanted=
command -v promtool >/dev/null 2>&1 || wanted="$wanted prometheus"
command -v chromium >/dev/null 2>&1 || wanted="$wanted chromium"
command -v strace >/dev/null 2>&1 || wanted="$wanted strace"
[ -n "$wanted" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed:$wanted (needs root and apt-get); the tests that use them are skipped, except in CI"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# A package must not start a server on this machine; who forbade it already keeps that.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086 # several words are meant
apt-get install -y -qq --no-install-recommends $wanted >/dev/null
