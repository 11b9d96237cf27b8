#!/bin/bash
# curl, to the server of the stage in place of the port that the documents name; a refusal is a fault.
arguments=()
for argument in "$@"; do
	arguments+=("${argument/http:\/\/127.0.0.1:8080/$SERVER}")
done
exec /usr/bin/env -u http_proxy -u https_proxy PATH="${PATH#*:}" curl --silent --show-error --fail-with-body "${arguments[@]}"
