//! What the sources cannot know by themselves.

fn main() {
    name_commit();
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
