#!/usr/bin/env bash
# Measure what prepare.sh collected on this machine's GPU, without a network, in under 10 minutes:
#     gpu/run.sh [OPTION..]
# The options are those of measure.py, such as --no-gpu, --budget or --networks.
#     WHEELS=folder MODELS=folder   by default beside the folder of this script
#     OUTPUT=file                   by default result.json
#     PYTHON=python                 by default python3, of the version that prepare.sh named
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
wheels=${WHEELS:-$here/../wheels}
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT

"${PYTHON:-python3}" -m venv "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile \
    --no-index --find-links "$wheels" --requirement "$wheels/requirements.txt"
echo "installed in $SECONDS s"
# SECONDS counts from the start of this script.
"$environment/bin/python" "$here/measure.py" --models "${MODELS:-$here/../models}" \
    --output "${OUTPUT:-result.json}" --budget $((540 - SECONDS)) "$@"
