#!/usr/bin/env bash
# Virtual environments with the other codes, outside the repository: ${SPANWISE_PEERS:-~/.cache/spanwise-peers}.
# `setup.sh pot ott keops` installs these three (the default; keops brings PyTorch, several gigabytes); `fft` is for fft.py;
# `exponax fluidsim dedalus fft` for spectral.py. The last three build against FFTW and MPI (Debian: libfftw3-dev
# libfftw3-mpi-dev). ${PYTHON}, or else python3, python3.13 or python3.12, whichever is 3.12 or 3.13, as most of them need.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
peers=${SPANWISE_PEERS:-$HOME/.cache/spanwise-peers}
mkdir -p "$peers"
[ $# -gt 0 ] || set -- pot ott keops
# Where Debian keeps FFTW and Open MPI; what is set already goes first.
libraries=/usr/lib/$(uname -m)-linux-gnu
export FFTW_INCLUDE_PATH=${FFTW_INCLUDE_PATH:-/usr/include} FFTW_LIBRARY_PATH=${FFTW_LIBRARY_PATH:-$libraries}
export MPI_INCLUDE_PATH=${MPI_INCLUDE_PATH:-$libraries/openmpi/include} MPI_LIBRARY_PATH=${MPI_LIBRARY_PATH:-$libraries/openmpi/lib}
python=${PYTHON:-python3}
for candidate in python3 python3.13 python3.12; do
    [ -z "${PYTHON:-}" ] || break
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 12), (3, 13)))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
for name in "$@"; do
    stamp="$peers/venv-$name/installed-$(cksum "$here/requirements-$name.txt" | awk '{print $1}')"
    [ -e "$stamp" ] && continue
    echo "peers: installing $name into $peers/venv-$name" >&2
    [ -d "$peers/venv-$name" ] || "$python" -m venv "$peers/venv-$name"
    if "$peers/venv-$name/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements-$name.txt"; then
        touch "$stamp"
    else
        # So that another Python or FFTW gets its chance the next time.
        rm -rf "$peers/venv-$name"
        echo "peers: $name could not be installed with $("$python" --version); its rows will be missing" >&2
    fi
done
