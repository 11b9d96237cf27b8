#!/bin/bash
# The program itself. What listens takes a free port and ends after a moment, what measures measures less, and lists may point at loop-back.
arguments=("$@")
case "$1" in
run | serve) arguments+=(--allow-private 127.0.0.0/8) ;;
esac
case "$1" in
serve)
	for index in "${!arguments[@]}"; do
		[ "${arguments[$index]}" = --port ] && arguments[$((index + 1))]=0
	done
	# The server of the stage has a token; one that is made up and printed is what the documents are about.
	env -u IMGSWEEP_TOKEN timeout -s INT 3 "$REAL_IMGSWEEP" "${arguments[@]}"
	status=$?
	# 124: it listened until its time was up.
	[ $status = 0 ] || [ $status = 124 ]
	exit
	;;
bench)
	case " $* " in
	*" --scenario "*) exec "$REAL_IMGSWEEP" "${arguments[@]}" --duration 1s --rows 10 ;;
	*" --suite "*) ;;
	*) arguments+=(--suite store) ;;
	esac
	# Whether a machine that runs tests beside it is slower than a minute before says nothing of the document.
	"$REAL_IMGSWEEP" "${arguments[@]}"
	status=$?
	case " $* " in *" --compare "*) [ $status -le 1 ] && exit 0 ;; esac
	exit $status
	;;
doctor)
	# What it finds is the machine's business; that it can be asked this way is the document's.
	"$REAL_IMGSWEEP" "${arguments[@]}"
	[ $? -le 1 ]
	exit
	;;
esac
exec "$REAL_IMGSWEEP" "${arguments[@]}"
