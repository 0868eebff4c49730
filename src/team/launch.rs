//! What the launcher's environment variables tell. Nothing here initialises MPI.

/// Reads one variable of the environment; [`environment`] outside tests.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// The environment of this process.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Who sets what for the processes it starts. The first one present is the one that started this process: `mpirun`
/// under Slurm starts its helpers by `srun`, whose variables its ranks inherit.
struct Launcher {
    name: &'static str,
    size: &'static str,
    rank: &'static str,
}

const LAUNCHERS: [Launcher; 6] = [
    Launcher { name: "mpirun of Open MPI", size: "OMPI_COMM_WORLD_SIZE", rank: "OMPI_COMM_WORLD_RANK" },
    Launcher { name: "mpirun of MVAPICH2", size: "MV2_COMM_WORLD_SIZE", rank: "MV2_COMM_WORLD_RANK" },
    Launcher { name: "jsrun of IBM Spectrum MPI", size: "JSM_NAMESPACE_SIZE", rank: "JSM_NAMESPACE_RANK" },
    Launcher { name: "mpiexec of MPICH or Intel MPI (PMI)", size: "PMI_SIZE", rank: "PMI_RANK" },
    Launcher { name: "flux run", size: "FLUX_JOB_SIZE", rank: "FLUX_TASK_RANK" },
    Launcher { name: "srun of Slurm", size: "SLURM_STEP_NUM_TASKS", rank: "SLURM_PROCID" },
];

impl Launcher {
    fn of(env: Environment) -> Option<&'static Launcher> {
        LAUNCHERS.iter().find(|l| env(l.size).is_some())
    }
}

/// Whether a parallel launcher started this process, with however many ranks.
pub fn under_launcher(env: Environment) -> bool {
    Launcher::of(env).is_some()
}

/// The rank that the launcher gave this process, so that one of many processes that failed to meet can speak for all.
pub fn launcher_rank(env: Environment) -> Option<usize> {
    env(Launcher::of(env)?.rank)?.parse().ok()
}

/// Why the ranks did not find each other: the world has `size` = 1 while the launcher started more.
pub fn launcher_mismatch(size: usize, env: Environment) -> Option<String> {
    let launcher = Launcher::of(env)?;
    let started: usize = env(launcher.size)?.trim().parse().ok()?;
    if size > 1 || started <= 1 {
        return None;
    }
    let (name, variable) = (launcher.name, launcher.size);
    let (built, advice) = match super::mpi_library_version() {
        Some(version) => (
            format!("this spanwise was built with {}", first_line(&version)),
            "use the launcher of that MPI (under Slurm: srun --mpi=list shows what it can start), or rebuild spanwise \
             with the MPI of the launcher",
        ),
        None => {
            ("this spanwise was built without MPI".to_string(), "rebuild it with the feature mpi, or start one process")
        }
    };
    Some(format!("{name} started {started} processes ({variable}={started}), but each runs alone: {built}; {advice}"))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(variables: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string())
    }

    #[test]
    fn four_started_and_one_met_names_the_launcher_and_the_library() {
        for (size, rank, name) in LAUNCHERS.iter().map(|l| (l.size, l.rank, l.name)) {
            let variables = [(size, "4"), (rank, "2")];
            let env = with(&variables);
            let message = launcher_mismatch(1, &env).unwrap();
            assert!(message.contains(name) && message.contains(&format!("{size}=4")), "{message}");
            let built = crate::team::mpi_library_version().map_or("without MPI".into(), |v| first_line(&v).to_string());
            assert!(message.contains(&built), "{message}");
            assert!(under_launcher(&env));
            assert_eq!(launcher_rank(&env), Some(2));
        }
    }

    #[test]
    fn one_process_or_none_or_a_world_of_four_is_no_mismatch() {
        assert_eq!(launcher_mismatch(1, &with(&[("SLURM_STEP_NUM_TASKS", "1")])), None);
        assert_eq!(launcher_mismatch(1, &with(&[("SLURM_NTASKS", "8")])), None);
        assert_eq!(launcher_mismatch(1, &with(&[])), None);
        assert_eq!(launcher_mismatch(4, &with(&[("PMI_SIZE", "4")])), None);
        assert!(!under_launcher(&with(&[("SLURM_NTASKS", "8")])));
    }

    #[test]
    fn one_rank_of_open_mpi_on_two_slurm_nodes_is_no_mismatch() {
        let env = [("OMPI_COMM_WORLD_SIZE", "1"), ("SLURM_STEP_NUM_TASKS", "2")];
        assert_eq!(launcher_mismatch(1, &with(&env)), None);
    }
}
