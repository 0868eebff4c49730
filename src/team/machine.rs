//! The machine under the ranks: hosts, cores, threads, memory.

use std::collections::BTreeSet;

use super::Team;
use super::launch::{environment, under_launcher};
use crate::crew;
use crate::error::{Error, Result};

/// How many threads a rank runs, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadPlan {
    pub threads: usize,
    /// Cores this rank may run on: affinity and control groups permitting.
    pub cores_visible: usize,
    pub ranks_on_node: usize,
    /// Whether there is a core for every thread of every rank.
    pub own_cores: bool,
    /// What to tell the user when threads and cores do not fit together.
    pub advice: Option<String>,
}

/// What one rank sees.
#[derive(Debug, Clone, PartialEq, Eq)]
struct View {
    node: String,
    /// Numbers of the cores in its affinity mask.
    cores: Vec<u64>,
    /// Cores it may use at once (a quota may allow fewer than the mask).
    visible: usize,
    /// Cores that whoever started the rank may use: more than the rank's where the launcher bound it.
    launcher_cores: usize,
}

/// Threads of this rank, in order of priority: `requested` (0: nothing was), RAYON_NUM_THREADS, the visible cores
/// shared out evenly among the ranks that see the same ones. Collective; ranks may get different plans.
pub fn threads_per_rank(requested: usize, team: &dyn Team) -> ThreadPlan {
    let view = View::of_this_process();
    let cores: Vec<Vec<u64>> = per_rank(team, &view.cores);
    let nodes: Vec<Vec<u8>> = per_rank(team, view.node.as_bytes());
    let neighbours: Vec<&[u64]> = nodes
        .iter()
        .zip(&cores)
        .filter(|(node, _)| **node == view.node.as_bytes())
        .map(|(_, c)| c.as_slice())
        .collect();
    let from_environment = environment("RAYON_NUM_THREADS").and_then(|n| n.trim().parse().ok()).unwrap_or(0);
    plan(requested, from_environment, &view, &neighbours, under_launcher(&environment))
}

/// `neighbours`: the affinity masks of all ranks on the node, this one's included.
fn plan(requested: usize, from_environment: usize, view: &View, neighbours: &[&[u64]], launched: bool) -> ThreadPlan {
    let ranks_on_node = neighbours.len();
    let sharing = neighbours.iter().filter(|c| c.iter().any(|core| view.cores.contains(core))).count().max(1);
    let share = (view.visible / sharing).max(1);
    let threads = [requested, from_environment].into_iter().find(|&n| n > 0).unwrap_or(share);
    let fair = (view.launcher_cores / ranks_on_node.max(1)).max(1);
    let ranks = if ranks_on_node == 1 { "1 rank".into() } else { format!("{ranks_on_node} ranks") };
    let bound = launched && share < fair && view.visible < view.launcher_cores;
    let advice = if bound {
        let all = view.launcher_cores;
        Some(format!(
            "this rank is bound to {} of the {all} cores of its node, which {ranks} share{}: use {fair} threads per \
             rank by mpirun --bind-to none, or --map-by slot:PE={fair} (srun: --cpus-per-task={fair})",
            view.visible,
            if ranks_on_node == 1 { "s" } else { "" },
        ))
    } else if threads > share {
        Some(format!(
            "{threads} threads on {} visible cores, which {sharing} of the ranks share: more than {share} will wait \
             for each other",
            view.visible
        ))
    } else {
        None
    };
    ThreadPlan { threads, cores_visible: view.visible, ranks_on_node, own_cores: threads <= share, advice }
}

/// Threads of a rank: as many as a key of the input may ask for.
const MOST_THREADS: usize = 4096;

/// Builds rayon's global pool with the planned threads, the calling one among them: were it outside, each parallel
/// loop would put it to sleep and wake it again, which costs as much as a small loop does.
///
/// # Errors
/// [`Error::Usage`] if a pool of another size exists, or threads cannot be made or are too many.
pub fn start_threads(plan: &ThreadPlan) -> Result<()> {
    if plan.threads > MOST_THREADS {
        let asked = plan.threads;
        return Err(Error::Usage(format!("RAYON_NUM_THREADS = {asked}: a rank has at most {MOST_THREADS} threads")));
    }
    let built = rayon::ThreadPoolBuilder::new()
        .num_threads(plan.threads)
        .use_current_thread()
        .thread_name(|i| format!("spanwise {i}"))
        .build_global();
    match built {
        Err(e) if rayon::current_num_threads() != plan.threads => {
            Err(Error::Usage(format!("{} threads: {e}", plan.threads)))
        }
        _ => {
            if plan.own_cores {
                crew::lead();
            }
            Ok(())
        }
    }
}

/// Memory of this node in bytes; a guess of 4 GiB where the system does not tell.
pub fn node_memory() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        info.lines().find_map(|l| l.strip_prefix("MemTotal:")?.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map_or(4 << 30, |kib| kib << 10)
}

/// Bytes of the last cache and the number of cores that share it; those of Zen 4 where the system does not tell.
pub fn last_cache() -> (usize, usize) {
    let told = |name: &str| {
        std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index3/{name}")).unwrap_or_default()
    };
    cache(&told("size"), &told("shared_cpu_list")).unwrap_or((32 << 20, 8))
}

/// Of a size such as "32768K" and a list of cores such as "0-7,64-71".
fn cache(size: &str, cores: &str) -> Option<(usize, usize)> {
    let kib: usize = size.trim().strip_suffix('K')?.parse().ok()?;
    let count = |range: &str| -> Option<usize> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        (last.parse::<usize>().ok()? + 1).checked_sub(first.parse().ok()?)
    };
    let cores = cores.trim().split(',').map(count).sum::<Option<usize>>()?;
    (kib * cores > 0).then_some((kib << 10, cores))
}

/// Memory of this node divided by the ranks on it. Collective.
pub fn memory_per_rank(team: &dyn Team) -> u64 {
    let mine = node();
    let ranks = per_rank(team, mine.as_bytes()).iter().filter(|n| n.as_slice() == mine.as_bytes()).count();
    node_memory() / ranks.max(1) as u64
}

/// Number of different hosts the ranks run on. Collective.
pub fn hosts(team: &dyn Team) -> usize {
    per_rank(team, node().as_bytes()).into_iter().collect::<BTreeSet<_>>().len()
}

/// Makes large vectors go back to the system when they are freed, so that the memory a program takes is that of what
/// lives. Left alone, the allocator of glibc keeps ever larger holes.
pub fn return_freed_vectors() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: plain numbers, before other threads run.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
        // Smaller ones come and go in each step: their pages stay.
        libc::mallopt(libc::M_TRIM_THRESHOLD, 16 << 20);
    }
}

/// Makes the library behind LAPACK work on one thread: how it shares sums out depends on the cores that a process may use,
/// and with that its last digits. Before other threads run.
pub fn keep_lapack_on_one_thread() {
    #[cfg(unix)]
    for name in [c"openblas_set_num_threads", c"flexiblas_set_num_threads"] {
        // SAFETY: the symbol, where the program is linked to a library that has it, is a function of one number.
        unsafe {
            let found = libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
            if !found.is_null() {
                std::mem::transmute::<*mut libc::c_void, extern "C" fn(libc::c_int)>(found)(1);
            }
        }
    }
}

/// Largest resident memory of this process so far, in bytes; none where the system does not tell.
pub fn peak_memory_bytes() -> Option<u64> {
    // VmHWM is that of this program; ru_maxrss survives exec and may be that of what started it.
    let status = std::fs::read_to_string("/proc/self/status").ok();
    let line = status.as_deref().and_then(|s| s.lines().find_map(|l| l.strip_prefix("VmHWM:")));
    if let Some(kib) = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()) {
        return Some(kib << 10);
    }
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid; on success the structure is filled.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) != 0 {
            return None;
        }
        usage.assume_init()
    };
    // Bytes on macOS, KiB elsewhere.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1 << 10 };
    u64::try_from(usage.ru_maxrss).ok().map(|n| n * unit)
}

impl View {
    fn of_this_process() -> Self {
        let visible = std::thread::available_parallelism().map_or(1, usize::from);
        let cores = affinity(0).unwrap_or_else(|| (0..visible as u64).collect());
        let launcher_cores = affinity(std::os::unix::process::parent_id()).map_or(0, |c| c.len()).max(cores.len());
        View { node: node(), cores, visible, launcher_cores }
    }
}

/// The cores that process `pid` (0: this one) may run on.
#[cfg(target_os = "linux")]
fn affinity(pid: u32) -> Option<Vec<u64>> {
    // SAFETY: an all-zero set is a valid empty one, the pointer and its size belong together, and only cores below
    // CPU_SETSIZE are asked for.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(pid as libc::pid_t, size_of_val(&set), &mut set) != 0 {
            return None;
        }
        Some((0..libc::CPU_SETSIZE as usize).filter(|&core| libc::CPU_ISSET(core, &set)).map(|c| c as u64).collect())
    }
}

#[cfg(not(target_os = "linux"))]
fn affinity(_pid: u32) -> Option<Vec<u64>> {
    None
}

/// A name that two ranks share when they share a kernel: the host's, and the boot's in case hosts share a name.
fn node() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the buffer is valid for its length; the last byte stays zero.
    unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let name = String::from_utf8_lossy(name.split(|&c| c == 0).next().unwrap_or_default()).into_owned();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{name} {}", boot.trim())
}

/// Everyone's list, by rank.
fn per_rank<T: bytemuck::Pod>(team: &dyn Team, mine: &[T]) -> Vec<Vec<T>> {
    let lengths = team.gather(&[mine.len() as u64]);
    let all = team.gather(mine);
    let mut rest = all.as_slice();
    lengths
        .into_iter()
        .map(|n| {
            let (here, after) = rest.split_at(n as usize);
            rest = after;
            here.to_vec()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::team::{Solo, threads};

    fn view(cores: std::ops::Range<u64>, launcher_cores: usize) -> View {
        let cores: Vec<u64> = cores.collect();
        View { node: "n".into(), visible: cores.len(), cores, launcher_cores }
    }

    #[test]
    fn four_unbound_ranks_on_64_cores_get_16_threads_each_without_advice() {
        let view = view(0..64, 64);
        let masks = vec![view.cores.as_slice(); 4];
        let plan = plan(0, 0, &view, &masks, true);
        assert_eq!((plan.threads, plan.ranks_on_node, plan.own_cores, plan.advice), (16, 4, true, None));
    }

    #[test]
    fn a_rank_bound_to_1_of_64_cores_gets_1_thread_and_is_told_of_16() {
        let view = view(3..4, 64);
        let masks: [&[u64]; 4] = [&[0], &[1], &[2], &[3]];
        let plan = plan(0, 0, &view, &masks, true);
        assert_eq!(plan.threads, 1);
        let advice = plan.advice.unwrap();
        assert!(advice.contains("1 of the 64 cores") && advice.contains("PE=16"), "{advice}");
    }

    #[test]
    fn ranks_bound_to_their_own_16_of_64_cores_use_them_all() {
        let view = view(16..32, 64);
        let all: Vec<u64> = (0..64).collect();
        let masks: Vec<&[u64]> = all.chunks(16).collect();
        let plan = plan(0, 0, &view, &masks, true);
        assert_eq!((plan.threads, plan.advice), (16, None));
    }

    #[test]
    fn the_input_comes_before_the_variable_and_the_variable_before_the_cores() {
        let view = view(0..8, 8);
        let masks = [view.cores.as_slice()];
        let threads = |requested, variable| plan(requested, variable, &view, &masks, false).threads;
        assert_eq!((threads(3, 5), threads(0, 5), threads(0, 0)), (3, 5, 8));
        let crowded = plan(9, 0, &view, &masks, false);
        assert!(!crowded.own_cores);
        let crowded = crowded.advice.unwrap();
        assert!(crowded.contains("9 threads on 8 visible cores"), "{crowded}");
    }

    #[test]
    fn a_last_cache_of_32_mib_is_shared_by_the_16_cores_of_its_list() {
        assert_eq!(cache("32768K\n", "0-7,64-71\n"), Some((32 << 20, 16)));
        assert_eq!(cache("266240K", "0"), Some((260 << 20, 1)));
        for (size, cores) in [("", "0-7"), ("32M", "0-7"), ("32768K", ""), ("32768K", "7-3"), ("0K", "0")] {
            assert_eq!(cache(size, cores), None, "{size:?}, {cores:?}");
        }
    }

    #[test]
    fn three_ranks_as_threads_share_one_host() {
        assert_eq!(hosts(&Solo), 1);
        assert_eq!(threads::run(3, |team| (hosts(team), threads_per_rank(2, team).ranks_on_node)), vec![(1, 3); 3]);
    }

    #[test]
    fn peak_memory_holds_the_64_mib_that_were_touched_and_is_below_32_gib() {
        // The bounds are narrow enough to tell bytes from KiB either way.
        let before = peak_memory_bytes().unwrap();
        let touched = std::hint::black_box(vec![1u8; 64 << 20]);
        let after = peak_memory_bytes().unwrap();
        assert!(after >= before.max(touched.len() as u64) && after < 32 << 30, "{before} then {after}");
    }
}
