#!/usr/bin/env bash
# The walk of docs/audit.md, run as it stands there: every `sh` block of that page, in order, in one shell.
#
#   walk.sh FOLDER     a folder that `distill checkout --all` wrote, with its source files
#
# base=DIR (relative to FOLDER), run=RUN_ID and lines="1 2 3" say where source paths begin, which run, and which export rows.
set -euo pipefail
page=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/docs/audit.md
commands=$(sed -n '/^```sh$/,/^```$/{/^```/d;p;}' "$page")
[ -n "$commands" ] || { echo "$page has no commands" >&2; exit 2; }
cd "$1"
eval "$commands"
