#!/bin/bash
# Tool chains and their parts.
[ "$1 $2" = "target add" ] || [ "$1 $2" = "component add" ]
