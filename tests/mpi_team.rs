//! The team of real MPI ranks. This program starts itself under `mpirun -n 1,2,3,4`; a missing mpirun is a failure.
//!
//! Without a test harness: MPI is started by the main thread. `cargo test --test mpi_team WORD` runs the checks whose
//! name contains WORD.

use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use spanwise::error::{Error, Result, tell};
use spanwise::math::sum::tree_sum;
use spanwise::team::launch::{environment, launcher_mismatch, launcher_rank, under_launcher};
use spanwise::team::{self, Group, Team, machine};

/// The variable that turns this program into a rank, and names what the rank does.
const RANK_PROGRAM: &str = "SPANWISE_TEST_RANK_PROGRAM";

fn main() -> ExitCode {
    if let Ok(program) = std::env::var(RANK_PROGRAM) {
        return as_rank(&program);
    }
    let checks: [(&str, fn()); 10] = [
        ("every_call_is_right_on_1_to_4_ranks_however_short_the_messages", every_call),
        ("sums_have_the_same_bits_on_1_to_4_ranks", same_bits),
        ("a_panic_on_one_rank_ends_the_job_within_5_seconds_with_code_1_and_one_message", a_panic_ends_the_job),
        ("a_panic_of_a_worker_thread_ends_the_job_too", a_panic_of_a_worker),
        ("a_panic_ends_ranks_that_wait_in_shared_memory_too", a_panic_while_others_meet),
        ("a_panic_without_a_launcher_is_code_1", a_panic_alone),
        ("agree_gives_one_failure_and_its_exit_code", agree),
        ("a_cut_that_is_no_count_is_refused_with_code_2_and_one_message", malformed_cut),
        ("a_launcher_of_another_mpi_is_named", wrong_launcher),
        ("the_machine_under_four_ranks_is_one_host", one_host),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let mut failed = 0;
    for (name, check) in checks {
        if !wanted.is_empty() && !wanted.iter().any(|w| name.contains(w.as_str())) {
            continue;
        }
        let start = Instant::now();
        // A failed check has printed its panic.
        let passed = std::panic::catch_unwind(check).is_ok();
        println!("test {name} … {} ({:.1?})", if passed { "ok" } else { "FAILED" }, start.elapsed());
        failed += usize::from(!passed);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

// The checks.

fn every_call() {
    for ranks in 1..=4 {
        for cut in ["1", "7", "64", ""] {
            let job = mpirun(ranks, "every_call", &[("SPANWISE_MESSAGE_CUT", cut)]);
            assert!(job.code == 0 && job.stderr.is_empty(), "{ranks} ranks, cut {cut:?}: {job:?}");
            assert_eq!(job.stdout, "all right\n");
        }
    }
}

/// Each rank writes to the part of the next one, of other sizes, while a message is on its way that the last rank
/// waits for before it meets the others.
fn shared_memory(team: &dyn Team) {
    let (rank, size) = (team.rank(), team.size());
    let mut memory = team.share_memory(8 * (1 + rank)).expect("ranks of one node share memory");
    let all: Vec<usize> = (0..size).collect();
    let next = (rank + 1) % size;
    for turn in 0..5u64 {
        let long = vec![turn as f64; 600];
        let exchange = team.start_exchange(&vec![long; size]);
        let mut write_and_meet = || {
            // SAFETY: the last word of the part of a rank, written by one rank and read after all have met.
            unsafe { memory.part(next).cast::<u64>().add(next).write(turn) };
            team.meet(&mut memory, Group::All, &all);
        };
        let received = if rank == size - 1 {
            let received = exchange.wait();
            write_and_meet();
            received
        } else {
            write_and_meet();
            exchange.wait()
        };
        assert!(received.iter().all(|r| r.len() == 600 && r[7] == turn as f64));
        // SAFETY: as above.
        assert_eq!(unsafe { memory.part(rank).cast::<u64>().add(rank).read() }, turn);
        team.meet(&mut memory, Group::Row, &all);
    }
}

/// Parts of several large pages, of other sizes on each rank: they begin where such a page can, a header before them,
/// and hold on every page what another rank wrote there.
fn large_shared_memory(team: &dyn Team) {
    const LARGE: usize = 2 << 20;
    let (rank, size) = (team.rank(), team.size());
    let (all, words) = ((0..size).collect::<Vec<_>>(), |rank: usize| (5 + rank) * LARGE / 16);
    let mut memory = team.share_memory(8 * words(rank)).expect("ranks of one node share memory");
    let next = (rank + 1) % size;
    assert!(memory.words(next).iter().all(|word| word.load(Ordering::Relaxed) == 0));
    assert!(memory.words(next).len() >= words(next));
    team.meet(&mut memory, Group::All, &all);
    let places = |rank: usize| (0..words(rank)).step_by(500);
    places(next).for_each(|i| memory.words(next)[i].store((next * words(next) + i) as u64, Ordering::Relaxed));
    team.meet(&mut memory, Group::All, &all);
    for part in [rank, next] {
        assert!(memory.part(part) as usize % LARGE <= 4096, "part {part} at {:?}", memory.part(part));
        places(part)
            .for_each(|i| assert_eq!(memory.words(part)[i].load(Ordering::Relaxed), (part * words(part) + i) as u64));
    }
    team.barrier();
}

fn same_bits() {
    let one = mpirun(1, "sums", &[]);
    assert_eq!(one.code, 0, "{one:?}");
    assert_eq!(one.stdout.lines().count(), SUM_LENGTHS.len(), "{one:?}");
    for ranks in 2..=4 {
        assert_eq!(mpirun(ranks, "sums", &[]).stdout, one.stdout);
    }
}

fn a_panic_ends_the_job() {
    for (ranks, culprit) in [(2, 0), (4, 2)] {
        let job = mpirun(ranks, "panic", &[("CULPRIT", &culprit.to_string())]);
        assert_eq!(job.code, 1, "{job:?}");
        assert!(job.took < Duration::from_secs(5), "{job:?}");
        let message = format!("spanwise: internal error on rank {culprit} of {ranks}");
        assert_eq!(job.stderr.matches("internal error").count(), 1, "{job:?}");
        assert!(job.stderr.contains(&message) && job.stderr.contains("index out of bounds"), "{job:?}");
    }
}

fn a_panic_of_a_worker() {
    let job = mpirun(2, "panic_of_a_worker", &[]);
    assert_eq!(job.code, 1, "{job:?}");
    assert!(job.took < Duration::from_secs(5), "{job:?}");
    // All workers of rank 1 panic; the first one speaks.
    assert_eq!(job.stderr.matches("internal error").count(), 1, "{job:?}");
}

fn a_panic_while_others_meet() {
    let job = mpirun(3, "panic_while_others_meet", &[]);
    assert_eq!(job.code, 1, "{job:?}");
    assert!(job.took < Duration::from_secs(5), "{job:?}");
    assert_eq!(job.stderr.matches("internal error on rank 1 of 3").count(), 1, "{job:?}");
}

fn a_panic_alone() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(RANK_PROGRAM, "panic").env("CULPRIT", "0");
    let job = run(command);
    assert_eq!(job.code, 1, "{job:?}");
    assert!(job.stderr.contains("internal error on rank 0 of 1"), "{job:?}");
}

fn agree() {
    let job = mpirun(4, "agree", &[]);
    assert_eq!(job.code, 2, "{job:?}");
    assert_eq!(job.stdout.lines().collect::<Vec<_>>(), ["rank 1: no such thing"], "{job:?}");
}

fn malformed_cut() {
    for cut in ["seven", "3000000000"] {
        let job = mpirun(2, "agree", &[("SPANWISE_MESSAGE_CUT", cut)]);
        assert_eq!(job.code, 2, "{job:?}");
        let message = format!("SPANWISE_MESSAGE_CUT={cut}: must be a number of bytes");
        assert_eq!(job.stderr.matches(&message).count(), 1, "{job:?}");
    }
}

fn wrong_launcher() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(RANK_PROGRAM, "launcher").env("PMI_SIZE", "4").env("PMI_RANK", "3");
    let job = run(command);
    assert_eq!((job.code, job.stderr.as_str()), (0, ""), "{job:?}");
    let told = job.stdout.contains("mpiexec of MPICH") && job.stdout.contains("PMI_SIZE=4");
    assert!(told && job.stdout.contains(team::mpi_library_version().unwrap().lines().next().unwrap()), "{job:?}");
    assert!(job.stdout.ends_with("rank Some(3)\n"), "{job:?}");
    // The right launcher, and none, are no mismatch.
    assert_eq!(mpirun(2, "launcher", &[]).stdout, "true None rank Some(0)\n");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(RANK_PROGRAM, "launcher");
    assert_eq!(run(command).stdout, "false None rank None\n");
}

fn one_host() {
    let job = mpirun(4, "machine", &[]);
    assert_eq!((job.code, job.stdout.as_str()), (0, "1 hosts, 4 ranks on it, 3 threads\n"), "{job:?}");
}

// What the ranks do.

fn as_rank(program: &str) -> ExitCode {
    let team = match team::start() {
        Ok(team) => team,
        Err(e) => {
            // The ranks have not met: the launcher says who speaks.
            if launcher_rank(&environment).unwrap_or(0) == 0 {
                tell(&e);
            }
            return ExitCode::from(e.exit_code());
        }
    };
    let result = rank_program(program, &*team);
    if let Err(e) = &result
        && team.rank() == 0
    {
        println!("{e}");
    }
    // MPI is finalised here; then nothing but the exit code.
    drop(team);
    result.map_or_else(|e| ExitCode::from(e.exit_code()), |()| ExitCode::SUCCESS)
}

fn rank_program(program: &str, team: &dyn Team) -> Result<()> {
    let (rank, size) = (team.rank(), team.size());
    match program {
        "every_call" => {
            for n in [0, 1, 2, 3, 37, 101] {
                collectives(team, n);
                overlapping(team, n);
            }
            if size > 1 {
                shared_memory(team);
                large_shared_memory(team);
            }
            if rank == 0 {
                println!("all right");
            }
        }
        "sums" => {
            for n in SUM_LENGTHS {
                let part = team.split(n);
                let sum = team.sum(part, term);
                assert_eq!(sum.to_bits(), team.sum_parallel(part, term).to_bits());
                assert_eq!(sum.to_bits(), tree_sum(n, term).to_bits());
                if rank == 0 {
                    println!("{n} {:016x}", sum.to_bits());
                }
            }
        }
        "panic" => {
            let culprit: usize = environment("CULPRIT").unwrap().parse().unwrap();
            team.barrier();
            if rank == culprit {
                let empty: &[f64] = std::hint::black_box(&[]);
                println!("{}", empty[rank]);
            }
            team.barrier();
        }
        "panic_while_others_meet" => {
            let mut memory = team.share_memory(8).expect("ranks of one node share memory");
            assert!(rank != 1, "a rank that does not come");
            team.meet(&mut memory, Group::All, &[0, 1, 2]);
        }
        "panic_of_a_worker" => {
            if rank == 1 {
                rayon::broadcast(|worker| panic!("worker {} fails", worker.index()));
            }
            team.barrier();
        }
        "agree" => {
            team.agree(if rank >= size { Err(Error::Interrupted) } else { Ok(()) })?;
            return team.agree(match rank {
                1 => Err(Error::Usage("no such thing".into())),
                3 => Err(Error::Numerical { step: 4, message: "a later rank".into() }),
                _ => Ok(()),
            });
        }
        "launcher" => {
            if rank == 0 {
                let mismatch = launcher_mismatch(size, &environment);
                println!("{} {mismatch:?} rank {:?}", under_launcher(&environment), launcher_rank(&environment));
            }
        }
        "machine" => {
            let hosts = machine::hosts(team);
            let plan = machine::threads_per_rank(3, team);
            machine::start_threads(&plan)?;
            assert_eq!(rayon::current_num_threads(), plan.threads);
            assert!(machine::peak_memory_bytes().unwrap() > 1 << 20);
            if rank == 0 {
                println!("{hosts} hosts, {} ranks on it, {} threads", plan.ranks_on_node, plan.threads);
            }
        }
        other => panic!("no program {other}"),
    }
    Ok(())
}

const SUM_LENGTHS: [usize; 5] = [0, 1, 63, 1000, 70_001];

fn term(i: usize) -> f64 {
    (i as f64 * 0.37).sin() * 2f64.powi((i % 31) as i32 - 15)
}

/// Every blocking call against what one rank computes.
fn collectives(team: &dyn Team, n: usize) {
    let (rank, size) = (team.rank(), team.size());
    let part = team.split(n);
    let whole: Vec<f64> = (0..3 * n).map(|i| (i as f64).sqrt()).collect();
    let mine = &whole[3 * part.mine().start..3 * part.mine().end];

    assert_eq!(team.gather(mine), whole);
    assert_eq!(
        team.gather_bytes(&vec![rank as u8; rank]),
        (0..size).flat_map(|r| vec![r as u8; r]).collect::<Vec<_>>()
    );
    let mut all = vec![f64::NAN; 3 * n];
    team.gather_into(part, mine, &mut all);
    assert_eq!(all, whole);
    let mut all = vec![f64::NAN; 3 * n];
    all[3 * part.mine().start..3 * part.mine().end].copy_from_slice(mine);
    team.gather_in_place(part, &mut all);
    assert_eq!(all, whole);

    let list = |from: usize, to: usize| vec![(100 * from + to) as i16; n * ((from + 2 * to) % 3)];
    let send: Vec<Vec<i16>> = (0..size).map(|to| list(rank, to)).collect();
    assert_eq!(team.exchange(&send), (0..size).map(|from| list(from, rank)).collect::<Vec<_>>());

    let wanted: Vec<usize> = (0..2 * n).map(|k| (k * 7 + rank) % n).collect();
    let rows: Vec<f64> = wanted.iter().flat_map(|&w| &whole[3 * w..3 * w + 3]).copied().collect();
    assert_eq!(team.fetch(part, 3, mine, &wanted), rows);

    let m = team.split(13);
    let entry = |i: usize, j: usize| (i * 13 + j) as u32;
    let a: Vec<u32> = part.mine().flat_map(|i| (0..13).map(move |j| entry(i, j))).collect();
    let transposed: Vec<u32> = m.mine().flat_map(|j| (0..n).map(move |i| entry(i, j))).collect();
    assert_eq!(team.transpose(part, m, &a), transposed);
    assert_eq!(team.transpose(m, part, &transposed), a);

    assert_eq!(team.sum(part, term).to_bits(), tree_sum(n, term).to_bits());
    assert_eq!((team.max(rank as f64), team.min(rank as f64)), ((size - 1) as f64, 0.0));
    assert!(team.any(rank == size - 1) && !team.any(false));
    for root in 0..size {
        assert_eq!(team.broadcast(root, &vec![rank as u64; n]), vec![root as u64; n]);
    }
    assert_eq!(team.agree(Ok(rank)), Ok(rank));
    team.barrier();
}

/// Messages under way together with each other and with blocking calls, waited for out of order.
fn overlapping(team: &dyn Team, n: usize) {
    let (rank, size) = (team.rank(), team.size());
    let list = |k: usize, from: usize, to: usize| vec![(1000 * k + 100 * from + to) as u32; n * k + to];
    let start = |k| team.start_exchange(&(0..size).map(|to| list(k, rank, to)).collect::<Vec<_>>());
    let mut first = start(1);
    let mut shout = team.start_broadcast(size - 1, &vec![rank as f32; n]);
    let second = start(2);
    drop(start(3));
    // To rank q go n + q values, in place, from rank q come n + rank; those of a neighbour twice removed are left out.
    let length = |from: usize, to: usize| if (from + 2) % size == to { 0 } else { n + to };
    let others = || (0..size).filter(|q| *q != rank);
    let value = |from: usize, to: usize, i: usize| (10_000 * from + 1000 * to + i) as f64;
    let (mut send, mut to, mut from, mut at) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for q in others() {
        let begin = send.len();
        send.extend((0..length(rank, q)).map(|i| value(rank, q, i)));
        to.push((q, begin..send.len()));
        from.push((q, at..at + length(q, rank)));
        at += length(q, rank);
    }
    let mut flight = team.start_transfer(send, &to, vec![f64::NAN; at], &from);
    drop(team.start_transfer(
        vec![1u8; size],
        &others().map(|q| (q, q..q + 1)).collect::<Vec<_>>(),
        vec![0; size],
        &others().map(|q| (q, q..q + 1)).collect::<Vec<_>>(),
    ));
    flight.progress();
    first.progress();
    shout.progress();
    collectives(team, n);
    let expected = |k| (0..size).map(|from| list(k, from, rank)).collect::<Vec<_>>();
    assert_eq!(second.wait(), expected(2));
    assert_eq!(shout.wait(), vec![(size - 1) as f32; n]);
    assert_eq!(first.wait(), expected(1));
    let (_, received) = flight.wait();
    for (q, part) in from {
        assert_eq!(received[part], (0..length(q, rank)).map(|i| value(q, rank, i)).collect::<Vec<_>>());
    }
}

// Starting them.

#[derive(Debug)]
struct Job {
    code: i32,
    stdout: String,
    stderr: String,
    took: Duration,
}

fn mpirun(ranks: usize, program: &str, variables: &[(&str, &str)]) -> Job {
    let mut command = Command::new("mpirun");
    command.args(["-n", &ranks.to_string()]).arg(std::env::current_exe().unwrap());
    command.env(RANK_PROGRAM, program).envs(variables.iter().copied());
    run(command)
}

/// Runs to the end, or kills it after a minute and panics.
fn run(mut command: Command) -> Job {
    // Open MPI: as root in a container, more ranks than cores, in shared memory only, and sharing the cores kindly.
    for (name, value) in [
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        ("OMPI_MCA_hwloc_base_binding_policy", "none"),
        ("OMPI_MCA_pml", "ob1"),
        ("OMPI_MCA_btl", "self,vader"),
        ("OMPI_MCA_mpi_yield_when_idle", "1"),
        ("RUST_BACKTRACE", "0"),
    ] {
        command.env(name, value);
    }
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let reader = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let stdout = reader(Box::new(child.stdout.take().unwrap()));
    let stderr = reader(Box::new(child.stderr.take().unwrap()));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("still running after a minute: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let took = start.elapsed();
    let code = status.code().unwrap_or(-1);
    Job { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap(), took }
}
