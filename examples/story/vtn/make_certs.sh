#!/bin/sh
# Makes a certificate authority of its own, a server certificate and one certificate per VEN name.
# Usage: make_certs.sh DIRECTORY [rsa|ec] [VEN...]
set -eu
dir=${1:?usage: make_certs.sh DIRECTORY [rsa|ec] [VEN...]}
kind=${2:-ec}
[ $# -gt 2 ] && shift 2 && vens=$* || vens=ven
mkdir -p "$dir"
cd "$dir"
umask 077

key() {
    case $kind in
    rsa) openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1" 2>/dev/null ||
        openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1" 2>/dev/null ;;
    ec) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null ;;
    *) echo "rsa or ec, not '$kind'" >&2; exit 2 ;;
    esac
}

key ca.key
openssl req -x509 -new -key ca.key -sha256 -days 30 -subj '/CN=ERAB example OpenADR CA' -out ca.pem \
    -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign'

leaf() { # name, extended key usage, alternative names or nothing
    key "$1.key"
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    { echo 'basicConstraints=CA:FALSE'; echo "extendedKeyUsage=$2"; [ -z "$3" ] || echo "subjectAltName=$3"; } >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -sha256 -days 30 \
        -extfile "$1.ext" -out "$1.pem" 2>/dev/null
    rm -f "$1.csr" "$1.ext"
}

leaf vtn serverAuth 'DNS:localhost,IP:127.0.0.1'
for ven in $vens; do leaf "$ven" clientAuth ''; done
