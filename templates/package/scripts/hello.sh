#!/bin/sh
# Greets somebody. 向某人问好。
set -eu

case "${1:-}" in
    -h | --help)
        echo "usage: hello.sh [NAME]"
        exit 0
        ;;
esac

name=${1:-world}
echo "Hello, $name!"
