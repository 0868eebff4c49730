//! Tells the code what the HDF5 library it is built against can do, as found by the build of `hdf5-sys`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SPANWISE_COMMIT");
    println!("cargo::rustc-check-cfg=cfg(hdf5_file_locking)");
    // H5Pset_file_locking came with 1.10.7; it was missing again in 1.12.0.
    let at_least = |version: &str| std::env::var_os(format!("DEP_HDF5_VERSION_{version}")).is_some();
    if at_least("1_10_7") && (at_least("1_12_1") || !at_least("1_12_0")) {
        println!("cargo::rustc-cfg=hdf5_file_locking");
    }
}
