#!/usr/bin/env bash
# Installs what a build needs, where something is missing: system packages through apt (with sudo when not root) and
# Rust through rustup. Elsewhere (Fedora, macOS, conda, module systems) it says what to install. Does nothing when all
# is there. `setup.sh --python` also makes .venv with the packages of tests/readers.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

say() { printf 'setup: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
# The oldest Rust that builds this crate, from Cargo.toml.
rust_needed=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)

# at_least A B: version A ≥ version B, numbers separated by dots.
at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)" = "$2" ]
}

have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    have llvm-config && ls "$(llvm-config --libdir)"/libclang*.* >/dev/null 2>&1 && return 0
    local pattern
    for pattern in /usr/lib/llvm-*/lib/libclang*.so* /usr/lib64/libclang.so* /usr/lib/*/libclang*.so* \
        /opt/homebrew/opt/llvm/lib/libclang.dylib /usr/local/opt/llvm/lib/libclang.dylib \
        /Library/Developer/CommandLineTools/usr/lib/libclang.dylib "${CONDA_PREFIX:-/nonexistent}"/lib/libclang.*; do
        [ -e "$pattern" ] && return 0
    done
    return 1
}

have_parallel_hdf5() {
    if [ -n "${HDF5_DIR:-}" ]; then return 0; fi
    have h5pcc && return 0
    have pkg-config && pkg-config --exists hdf5-openmpi && return 0
    have pkg-config && pkg-config --exists hdf5-mpich && return 0
    [ -e "${CONDA_PREFIX:-/nonexistent}/include/H5FDmpio.h" ] && return 0
    return 1
}

have_openblas() {
    have pkg-config && pkg-config --exists openblas && return 0
    local pattern
    for pattern in /usr/lib/*/libopenblas.so /usr/lib64/libopenblas*.so "${CONDA_PREFIX:-/nonexistent}"/lib/libopenblas.* \
        /opt/homebrew/opt/openblas/lib/libopenblas.dylib /usr/local/opt/openblas/lib/libopenblas.dylib; do
        [ -e "$pattern" ] && return 0
    done
    return 1
}

# Sets `missing` (words for people) and `packages` (Debian's names).
look() {
    missing=""
    packages=""
    need() { missing="$missing, $1"; packages="$packages $2"; }
    have cc || need "a C compiler" "gcc libc6-dev"
    have pkg-config || need "pkg-config" "pkg-config"
    have mpicc || need "MPI's compiler wrapper mpicc" "libopenmpi-dev"
    have mpirun || need "mpirun" "openmpi-bin"
    have_parallel_hdf5 || need "HDF5 built with MPI" "libhdf5-openmpi-dev"
    have_openblas || need "OpenBLAS" "libopenblas-dev"
    have_libclang || need "libclang" "libclang-dev"
    have clang || need "clang" "clang"
    have python3 || need "Python 3" "python3"
    have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || need "Python's venv module" "python3-venv"
    rust_ready || have curl || need "curl" "curl ca-certificates"
    missing=${missing#, }
    packages=${packages# }
}

rust_ready() {
    have cargo && at_least "$(cargo --version 2>/dev/null | awk '{print $2}' | sed 's/-.*//')" "$rust_needed"
}

# How to become root: nothing when root, sudo where it works (it may ask for a password on a terminal), else failure.
become_root() {
    if [ "$(id -u)" = 0 ]; then
        echo ""
    elif have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        echo "sudo"
    else
        return 1
    fi
}

say_what_to_install() {
    local id=""
    [ -r /etc/os-release ] && id=$(. /etc/os-release && echo "${ID:-} ${ID_LIKE:-}")
    say "missing: $missing"
    case "$(uname -s) $id" in
    Darwin*)
        say "with Homebrew:  xcode-select --install; brew install open-mpi hdf5-mpi openblas llvm pkg-config python"
        say "then:           export HDF5_DIR=\$(brew --prefix hdf5-mpi) PKG_CONFIG_PATH=\$(brew --prefix openblas)/lib/pkgconfig LIBCLANG_PATH=\$(brew --prefix llvm)/lib"
        ;;
    *debian* | *ubuntu*)
        say "as root:        apt-get install --no-install-recommends $packages"
        ;;
    *fedora* | *rhel* | *centos*)
        say "as root:        dnf install gcc pkgconf-pkg-config openmpi-devel hdf5-openmpi-devel openblas-devel clang clang-devel python3"
        say "then:           module load mpi/openmpi-x86_64"
        say "then:           export HDF5_DIR=/usr/lib64/openmpi (where that has include/ and lib/), or the prefix of your parallel HDF5"
        ;;
    *arch*)
        say "as root:        pacman -S gcc pkgconf openmpi hdf5-openmpi openblas clang python"
        ;;
    *suse*)
        say "as root:        zypper install gcc pkg-config openmpi4-devel hdf5-gnu-openmpi4-hpc-devel openblas-devel clang-devel python3"
        ;;
    esac
    say "with conda:     conda install -c conda-forge compilers openmpi 'hdf5=*=mpi_openmpi*' openblas clangdev pkg-config python"
    say "                and export HDF5_DIR=\$CONDA_PREFIX"
    say "with modules:   module load gcc openmpi hdf5 (the parallel one) openblas llvm python, and export HDF5_DIR=<prefix of hdf5>"
    say "no MPI at all:  cargo build --release --locked --no-default-features needs only a serial HDF5, OpenBLAS and libclang"
}

install_system() {
    look
    [ -z "$missing" ] && return 0
    local root
    # Inside conda or a module system the user has chosen where things come from; apt would not be found there.
    if have apt-get && [ -z "${CONDA_PREFIX:-}" ] && root=$(become_root); then
        say "installing: $packages"
        local apt="$root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -q"
        $apt update >&2 || say "apt-get update failed; trying with the lists that are there"
        # shellcheck disable=SC2086 (words on purpose)
        $apt install -y --no-install-recommends $packages >&2
        hash -r
        . scripts/env.sh
        look
        [ -z "$missing" ] && return 0
    fi
    say_what_to_install
    exit 1
}

install_rust() {
    rust_ready && return 0
    if have cargo; then
        say "$(cargo --version) is older than the $rust_needed that is needed"
    fi
    if have rustup; then
        rustup toolchain install stable --profile minimal >&2 && rustup default stable >&2 || true
    else
        say "installing Rust with rustup into ${CARGO_HOME:-$HOME/.cargo}"
        local installer
        installer=$(mktemp)
        # The second has the same script, and what the script downloads: some networks let through only that.
        local address
        for address in https://sh.rustup.rs https://static.rust-lang.org/rustup/rustup-init.sh; do
            if curl --proto '=https' --tlsv1.2 --connect-timeout 30 -sSf "$address" -o "$installer"; then
                sh "$installer" -y --profile minimal --no-modify-path --default-toolchain stable >&2 || true
                break
            fi
        done
        rm -f "$installer"
    fi
    hash -r
    . scripts/env.sh
    rust_ready && return 0
    say "Rust $rust_needed or newer could not be set up from here (is the network closed?). Any one of these will do:"
    say "  https://rustup.rs on this machine, or its archive copied from another one: static.rust-lang.org/dist/rust-stable-<host>.tar.gz"
    say "  conda install -c conda-forge rust        ·  module load rust        ·  your distribution's, if it is new enough"
    say "then run the same make command again; cargo has to be in PATH or in ~/.cargo/bin."
    exit 1
}

install_python() {
    # One stamp per content of the requirements: a changed file makes the environment anew.
    local stamp
    stamp=".venv/requirements-$(cksum tests/readers/requirements.txt | awk '{print $1}')"
    [ -e "$stamp" ] && return 0
    say "making .venv"
    rm -rf .venv
    python3 -m venv .venv
    if ! .venv/bin/pip install --quiet --disable-pip-version-check -r tests/readers/requirements.txt; then
        say "pip could not fetch the packages of tests/readers/requirements.txt (a closed network, or a mirror that"
        say "pip.conf does not name?). Everything but the Python readers can be tested with: cargo test --release --locked"
        exit 1
    fi
    touch "$stamp"
}

install_system
install_rust
if [ "${1:-}" = --python ]; then
    install_python
fi
