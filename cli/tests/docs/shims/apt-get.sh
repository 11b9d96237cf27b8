#!/bin/bash
# Packages are not installed by a test.
[ "$1" = install ]
