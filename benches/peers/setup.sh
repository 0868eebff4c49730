#!/usr/bin/env bash
# Virtual environments with the other codes, outside the repository: ${SPANWISE_PEERS:-~/.cache/spanwise-peers}.
# `setup.sh pot ott keops` installs these three (the default; keops brings PyTorch, several gigabytes); `fft` is for fft.py;
# `exponax fluidsim dedalus fft` for spectral.py. The last three build against FFTW and MPI; ${PYTHON} is 3.12 or later.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
peers=${SPANWISE_PEERS:-$HOME/.cache/spanwise-peers}
mkdir -p "$peers"
[ $# -gt 0 ] || set -- pot ott keops
# Where Debian keeps FFTW and Open MPI; what is set already goes first.
libraries=/usr/lib/$(uname -m)-linux-gnu
export FFTW_INCLUDE_PATH=${FFTW_INCLUDE_PATH:-/usr/include} FFTW_LIBRARY_PATH=${FFTW_LIBRARY_PATH:-$libraries}
export MPI_INCLUDE_PATH=${MPI_INCLUDE_PATH:-$libraries/openmpi/include} MPI_LIBRARY_PATH=${MPI_LIBRARY_PATH:-$libraries/openmpi/lib}
for name in "$@"; do
    stamp="$peers/venv-$name/installed-$(cksum "$here/requirements-$name.txt" | awk '{print $1}')"
    [ -e "$stamp" ] && continue
    echo "peers: installing $name into $peers/venv-$name" >&2
    [ -d "$peers/venv-$name" ] || "${PYTHON:-python3}" -m venv "$peers/venv-$name"
    if "$peers/venv-$name/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements-$name.txt"; then
        touch "$stamp"
    else
        echo "peers: $name could not be installed; its rows will be missing" >&2
    fi
done
