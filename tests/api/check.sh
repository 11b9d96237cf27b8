#!/bin/sh
# Generated requests against every operation of the description, over a server of its own on loop-back.
# Usage: tests/api/check.sh PROGRAM SCHEMATHESIS [EXAMPLES an operation]
set -eu
program=$1
schemathesis=$2
examples=${3:-100}
data=$(mktemp -d)
export IMGSWEEP_TOKEN=schemathesis
RUST_LOG=${RUST_LOG:-warn} "$program" serve --port 0 --data "$data" --allow-private 127.0.0.0/8 > "$data/address" 2> "$data/log" &
server=$!
trap 'kill $server; wait $server || true; cat "$data/log" >&2; rm -rf "$data"' EXIT
for _ in 1 2 3 4 5 6 7 8 9 10; do
    grep -q '^address' "$data/address" && break
    sleep 1
done
address=$(sed -n 's/^address: //p' "$data/address")
"$schemathesis" --config-file "$(dirname "$0")/schemathesis.toml" run "$address/openapi.json" --url "$address" \
    --header "Authorization: Bearer $IMGSWEEP_TOKEN" --checks all --max-examples "$examples" --seed 2 --workers 1
