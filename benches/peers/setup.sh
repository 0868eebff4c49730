#!/usr/bin/env bash
# Virtual environments with the other codes, outside the repository: ${SPANWISE_PEERS:-~/.cache/spanwise-peers}.
# `setup.sh pot ott keops` installs these three (all by default; keops brings PyTorch, several gigabytes); `fft` the
# transforms of fft.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
peers=${SPANWISE_PEERS:-$HOME/.cache/spanwise-peers}
mkdir -p "$peers"
[ $# -gt 0 ] || set -- pot ott keops
for name in "$@"; do
    stamp="$peers/venv-$name/installed-$(cksum "$here/requirements-$name.txt" | awk '{print $1}')"
    [ -e "$stamp" ] && continue
    echo "peers: installing $name into $peers/venv-$name" >&2
    [ -d "$peers/venv-$name" ] || python3 -m venv "$peers/venv-$name"
    if "$peers/venv-$name/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements-$name.txt"; then
        touch "$stamp"
    else
        echo "peers: $name could not be installed; its rows will be missing" >&2
    fi
done
