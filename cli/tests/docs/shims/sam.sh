#!/bin/bash
# A function of the template with an event that is there.
[ "$1 $2" = "local invoke" ] || { echo "this call of sam is not known: $*" >&2 && exit 1; }
grep -q "^  $3:\$" "$REPOSITORY/template.yaml" || { echo "the template has no $3" >&2 && exit 1; }
while [ $# -gt 0 ]; do
	case "$1" in --event | --env-vars) [ -f "$2" ] || { echo "there is no $2" >&2 && exit 1; } ;; esac
	shift
done
