//! How this program was built, and the processor it runs on.

/// Commit of the sources; "unknown" outside a repository.
pub const COMMIT: &str = match option_env!("SPANWISE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// "spanwise 0.1.0 (commit 1234567)".
pub fn one_line() -> String {
    format!("spanwise {} (commit {COMMIT})", env!("CARGO_PKG_VERSION"))
}

/// The best kernel level that this processor has: "avx512", "avx2" or "portable".
pub fn processor_level() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        let avx2 = has!("avx2") && has!("fma");
        if avx2 && has!("avx512f") && has!("avx512dq") && has!("avx512vl") {
            return "avx512";
        }
        if avx2 {
            return "avx2";
        }
    }
    "portable"
}

/// Cargo features of this build that a user may have left out.
pub fn features() -> Vec<&'static str> {
    let mut list = Vec::new();
    if cfg!(feature = "mpi") {
        list.push("mpi");
    }
    if cfg!(feature = "parallel-hdf5") {
        list.push("parallel-hdf5");
    }
    if cfg!(feature = "fftw") {
        list.push("fftw");
    }
    list
}
