#!/bin/bash
# Whether there is such a verb, with all that it needs: nothing is made.
exec /usr/bin/env PATH="${PATH#*:}" make --dry-run --directory "$REPOSITORY" "$@"
