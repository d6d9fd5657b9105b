# Sourced by scripts/test and scripts/demo, or run by itself: installs what the project needs on Debian 12.
# Only what is missing is installed; with nothing missing the network is not touched.
# shellcheck shell=bash

erab_packages=(
  build-essential meson ninja-build pkgconf
  libzmq3-dev libsodium-dev libprotobuf-c-dev libuv1-dev libyaml-dev libjansson-dev libsqlite3-dev
  libxml2-dev libcurl4-openssl-dev libseccomp-dev libcmocka-dev
  protobuf-c-compiler protobuf-compiler python3-protobuf
  python3 python3-zmq python3-nacl python3-lxml python3-yaml
  libxml2-utils openssl universal-ctags clang llvm libclang-rt-14-dev valgrind iproute2 zsh fish
)

# Packages of the list that are not installed, one a line. A node or npm from elsewhere is kept: Debian's npm
# conflicts with a foreign nodejs.
erab_missing_packages() {
  local package
  for package in "${erab_packages[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
  command -v node >/dev/null 2>&1 || echo nodejs
  command -v npm >/dev/null 2>&1 || echo npm
}

# Besides, for scripts/bench: the peers it measures against, and what draws its plots.
erab_bench_packages=(nats-server mosquitto libssl-dev python3-matplotlib)

erab_install_packages() {
  local missing=() root=()
  mapfile -t missing < <(erab_missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -eq 0 ]; then
    root=()
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    root=(sudo -n)
  elif command -v sudo >/dev/null 2>&1 && [ -t 0 ]; then
    root=(sudo)
  else
    printf 'setup: these packages are missing and this user may not install them. As root, run:\n  apt-get install %s\n' \
      "${missing[*]}" >&2
    return 1
  fi
  echo "setup: installing ${missing[*]}"
  "${root[@]}" apt-get update -qq || return 1
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    >/dev/null || { echo "setup: apt-get could not install ${missing[*]}" >&2; return 1; }
}

# npm packages are pinned by a lock file beside their package.json; a stamp tells which one was installed.
erab_install_npm() {
  local top=$1 folder lock stamp
  for folder in "$top/tests/interop" "$top/examples/story/devices"; do
    lock=$folder/package-lock.json
    stamp=$folder/node_modules/.erab-lock
    [ -f "$lock" ] || continue
    cmp -s "$lock" "$stamp" && continue
    echo "setup: npm ci in ${folder#"$top"/}"
    (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error) || return 1
    cp "$lock" "$stamp" || return 1
  done
}

erab_setup() {
  local top
  top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || return 1
  if ! command -v apt-get >/dev/null 2>&1; then
    printf 'setup: this system has no apt-get. Install the counterparts of these Debian packages:\n  %s\n' \
      "${erab_packages[*]} nodejs npm" >&2
    return 1
  fi
  erab_install_packages && erab_install_npm "$top"
}

# Installing a server must not start it: while apt-get runs, Debian's policy-rc.d says no, unless there is one already.
erab_setup_bench() {
  local policy=/usr/sbin/policy-rc.d made=0 result=0 as=()
  erab_packages+=("${erab_bench_packages[@]}")
  [ -n "$(erab_missing_packages)" ] || return 0
  [ "$(id -u)" -eq 0 ] || as=(sudo)
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as[@]}" tee "$policy" >/dev/null && "${as[@]}" chmod 755 "$policy" && made=1
  fi
  erab_install_packages || result=1
  [ "$made" -eq 0 ] || "${as[@]}" rm -f "$policy"
  return "$result"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  set -euo pipefail
  erab_setup
fi
