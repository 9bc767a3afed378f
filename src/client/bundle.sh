#!/bin/sh
# bundle.sh OUTPUT.a FOLDER CLIENT.a OTHER.a... : one static library: all of the first, what it needs of the others.
# Only symbolon_* can be seen in it, so that the short names inside (buf_init, key_ref, ...) never meet those of the
# program it is linked into.
set -eu
out=$1 dir=$2 client=$3
shift 3
mkdir -p "$dir"
ld -r -o "$dir/symbolon.o" --whole-archive "$client" --no-whole-archive --start-group "$@" --end-group
objcopy --wildcard --keep-global-symbol='symbolon_*' "$dir/symbolon.o"
rm -f "$out"
ar rcs "$out" "$dir/symbolon.o"
