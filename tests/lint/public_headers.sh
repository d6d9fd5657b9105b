#!/bin/sh
# public_headers.sh INCLUDE_DIR GENERATED_DIR: every header stands alone, as C11 and as C++17.
set -u
failed=0
for header in "$1"/erab/*.h; do
    name=erab/$(basename "$header")
    for compiler in "gcc -std=c11 -x c" "g++ -std=c++17 -x c++"; do
        # The generated headers are not ours to make pedantic.
        if ! printf '#include <%s>\n' "$name" |
            $compiler -pedantic -Wall -Wextra -Werror -fsyntax-only -I"$1" -isystem "$2" -; then
            echo "$name: does not compile alone with $compiler"
            failed=1
        fi
    done
done
exit $failed
