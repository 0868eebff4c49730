//! What the sources cannot know by themselves.

fn main() {
    name_commit();
    know_hdf5();
}

/// SPANWISE_COMMIT: the commit that is built; absent outside a repository.
fn name_commit() {
    println!("cargo::rerun-if-env-changed=SPANWISE_COMMIT");
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    if let Some(head) = git(&["rev-parse", "--git-path", "HEAD"]) {
        println!("cargo::rerun-if-changed={head}");
    }
    if let Some(branch) = git(&["symbolic-ref", "-q", "HEAD"]).and_then(|b| git(&["rev-parse", "--git-path", &b])) {
        println!("cargo::rerun-if-changed={branch}");
    }
    let given = std::env::var("SPANWISE_COMMIT").ok().filter(|c| !c.is_empty());
    if let Some(commit) = given.or_else(|| git(&["rev-parse", "--short=12", "HEAD"])) {
        println!("cargo::rustc-env=SPANWISE_COMMIT={commit}");
    }
}

/// What the HDF5 library it is built against can do, as found by the build of `hdf5-sys`.
fn know_hdf5() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(hdf5_file_locking)");
    // H5Pset_file_locking came with 1.10.7; it was missing again in 1.12.0.
    let at_least = |version: &str| std::env::var_os(format!("DEP_HDF5_VERSION_{version}")).is_some();
    if at_least("1_10_7") && (at_least("1_12_1") || !at_least("1_12_0")) {
        println!("cargo::rustc-cfg=hdf5_file_locking");
    }
}
