#!/usr/bin/env bash
# Installs the servers that tests speak with, from Debian's packages, where that is
# possible: as root, with apt-get. None is started here, each test starts its own.
# Tests whose server is missing skip, and say so; .ci/run knows their names.
set -uo pipefail

# The packages and the programs that they bring. Valkey is in Debian from 13 on.
servers='
redis-server   redis-server
valkey-server  valkey-server
'

missing=()
while read -r package program; do
	[ -z "$package" ] || command -v "$program" >/dev/null || missing+=("$package")
done <<<"$servers"
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "not here: ${missing[*]}; installing them takes root and apt-get"
	exit 0
fi

# A package that brings a service would start it.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && trap 'rm -f "$policy"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null || apt-get update -qq >/dev/null 2>&1
for package in "${missing[@]}"; do
	apt-cache show "$package" >/dev/null 2>&1 || continue # this Debian has none
	apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 || echo "$package could not be installed"
done
exit 0
