#!/bin/sh
# secrets.sh PROGRAM SANITIZERS: runs secrets_test under valgrind, which must tell nothing, and once with a leak,
# which valgrind must tell.
program=$1
if ! command -v valgrind >/dev/null; then
    echo "SKIPPED: valgrind is not installed, secret-dependent branches are unchecked" >&2
    exit 77
fi
if [ "${2:-none}" != none ]; then
    echo "SKIPPED: valgrind does not run programs with sanitizers, secret-dependent branches are unchecked" >&2
    exit 77
fi
check() {
    valgrind --quiet --error-exitcode=99 --suppressions="$(dirname "$0")/secrets.supp" "$program" "$@"
}
check || exit
if told=$(check --leak 2>&1); then
    echo "valgrind did not tell a branch on a secret key" >&2
    exit 1
fi
case $told in
*"depends on uninitialised value"*) ;;
*) printf 'the leak failed otherwise:\n%s\n' "$told" >&2; exit 1 ;;
esac
