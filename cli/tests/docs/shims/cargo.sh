#!/bin/bash
# Whether the packages, tests and binaries that are named are there.
case "$1" in
install | build | test | run | clippy | fmt | bench | deny | machete | fuzz | update) ;;
*) echo "this call of cargo is not known: $*" >&2 && exit 1 ;;
esac
[ "$1" = install ] && exit 0
while [ $# -gt 0 ]; do
	case "$1" in
	-p) grep -rqs "^name = \"$2\"" "$REPOSITORY"/{cli,tests,shared/*,functions/*}/Cargo.toml || { echo "there is no package $2" >&2 && exit 1; } ;;
	--test) ls "$REPOSITORY"/{cli,tests,shared/*}/tests/"$2"{.rs,/main.rs} 2> /dev/null | grep -q . || { echo "there is no test $2" >&2 && exit 1; } ;;
	esac
	shift
done
