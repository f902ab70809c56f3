#!/usr/bin/env bash
# Collect all that run.sh needs, on a machine with a network:
#     benchmarks/gpu/prepare.sh FOLDER [OPTION..]
# The options are those of prepare.py, such as --networks or --peers.
#     TARGET_PYTHON=3.12   the Python of the other machine; by default the version of this one
#     TARGET_CPU=aarch64   its processor, by default x86_64
#     TENSORRT=1           full TensorRT too, some 2 GB, which is then measured
#     PYTHON=python        an environment with onnxq and the packages of the benchmarks
#     ONLY_WHEELS=1        no models
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=${1:?"usage: prepare.sh FOLDER [OPTION..]"}
shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

if [[ -z ${PYTHON:-} ]]; then
    PYTHON=$root/.venv/bin/python
    make --directory "$root" .venv/test
    "$PYTHON" -m pip install --quiet --no-deps --requirement "$root/benchmarks/requirements.txt"
fi
version=${TARGET_PYTHON:-$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}

platforms=()
for glibc in 1 2010 2014 _2_17 _2_24 _2_26 _2_27 _2_28 _2_31 _2_34 _2_35; do
    platforms+=(--platform "manylinux${glibc}_${TARGET_CPU:-x86_64}")
done
# The CUDA runtime is what Polygraphy calls; the wheels of TensorRT-RTX do not bring it.
pure=(tensorrt-rtx-cu13)
packages=('onnxq[rtx]' nvidia-cuda-runtime)
if [[ -n ${TENSORRT:-} ]]; then
    pure+=(tensorrt tensorrt-cu13)
    packages+=(tensorrt)
fi
rm -rf "$folder/wheels"
"$PYTHON" -m pip wheel --quiet --no-deps --wheel-dir "$folder/wheels" "$root" "${pure[@]}"
"$PYTHON" -m pip download --quiet --only-binary=:all: --python-version "$version" \
    --implementation cp "${platforms[@]}" --find-links "$folder/wheels" --dest "$folder/wheels" \
    "${packages[@]}"
printf '%s\n' "${packages[@]}" >"$folder/wheels/requirements.txt"

mkdir -p "$folder/gpu"
cp "$here"/*.py "$here/run.sh" "$folder/gpu"
if [[ -z ${ONLY_WHEELS:-} ]]; then
    PYTHONPATH="$root" "$PYTHON" "$here/prepare.py" "$folder/models" "$@"
fi
echo "$folder: copy it to a machine with Python $version and run gpu/run.sh there"
