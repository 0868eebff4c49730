# Sourced by the other scripts, after `cd` to the repository: PATH, the parallel HDF5, and how to call mpirun.

# rustup's cargo first: a distribution's may be older than the one set up beside it.
if [ -d "${CARGO_HOME:-$HOME/.cargo}/bin" ]; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi
# Fedora and its relatives keep Open MPI out of PATH until its module is loaded.
if ! command -v mpicc >/dev/null 2>&1 && [ -x /usr/lib64/openmpi/bin/mpicc ]; then
    PATH="/usr/lib64/openmpi/bin:$PATH"
fi
export PATH

# Debian keeps the serial and the parallel HDF5 side by side, and `hdf5.pc` may name either.
if [ -z "${HDF5_DIR:-}" ] && command -v pkg-config >/dev/null 2>&1 && pkg-config --exists hdf5-openmpi 2>/dev/null; then
    if ! pkg-config --cflags --libs hdf5 2>/dev/null | grep -q openmpi; then
        for dir in /usr/lib/*/hdf5/openmpi; do
            [ -d "$dir" ] && export HDF5_DIR="$dir"
        done
    fi
fi

cores() {
    getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1
}

# mpirun_flags RANKS: what this machine needs to start RANKS ranks, and nothing else.
mpirun_flags() {
    if mpirun --version 2>/dev/null | grep -q "Open MPI"; then
        # Threads inside a rank must see all its cores, not the one it would be bound to.
        printf '%s' "--bind-to none"
        if [ "$(cores)" -lt "$1" ]; then
            printf '%s' " --oversubscribe"
        fi
    fi
}

# Open MPI refuses to start as root (containers, CI) unless told twice.
if [ "$(id -u)" = 0 ] && command -v mpirun >/dev/null 2>&1 && mpirun --version 2>/dev/null | grep -q "Open MPI"; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
