//! Parallel loops that are short: the threads of a rank stay awake from one to the next.
//!
//! A thread of rayon that finds no work for some 30 µs sleeps, and waking it costs 50 µs on a virtual machine; a step
//! of a small grid is a few dozen loops of 0.1 ms. Here rayon's threads, once called, look for the next loop for a
//! while before they go back to sleep. They serve rayon meanwhile, so that its own loops run on the same threads.
//!
//! Each thread begins with the tasks of its own part of a loop, the same part in each loop of a length, so that data
//! stay in its cache, and takes from the end of others' parts when its own is done.
//!
//! One thread leads: the one that runs the program, where every thread has a core of its own. Loops of others, and
//! loops within loops, are rayon's.

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rayon::prelude::*;

/// How long a thread looks for the next loop.
const VIGIL: Duration = Duration::from_micros(500);
/// Tasks of a thread, at least, where there are items enough.
const TASKS: usize = 4;
/// Looks between two glances at the clock and at rayon's work.
const LOOKS: u32 = 64;
/// Looks of the thread that waits for the others before it lets other programs have the core.
const PATIENCE: u32 = 4096;

/// A thread is called by the leader, and then not again before it has come.
const ASLEEP: u8 = 0;
const CALLED: u8 = 1;
const AWAKE: u8 = 2;

thread_local! {
    /// The crew that this thread calls.
    static CREW: OnceCell<Arc<Crew>> = const { OnceCell::new() };
    /// Whether loops of this thread are rayon's for now.
    static APART: Cell<bool> = const { Cell::new(false) };
}

/// Calls `act` for 0..n, over the threads of the pool if there are any; allocates nothing on one thread.
pub fn each(n: usize, act: impl Fn(usize) + Sync) {
    if n <= 1 || rayon::current_num_threads() == 1 {
        return (0..n).for_each(act);
    }
    CREW.with(|crew| match crew.get() {
        Some(crew) if !APART.get() && u32::try_from(n).is_ok() => crew.each(n, &act),
        _ => (0..n).into_par_iter().with_max_len(1).for_each(&act),
    });
}

/// Calls `act(k, chunk)` for chunk k of `length` values, the last of which may be shorter, likewise.
pub fn each_chunk<T: Send>(values: &mut [T], length: usize, act: impl Fn(usize, &mut [T]) + Sync) {
    let (all, length) = (values.len(), length.max(1));
    // SAFETY: chunks do not overlap.
    unsafe { each_range(values, all.div_ceil(length), |k| k * length..all.min((k + 1) * length), act) }
}

/// Calls `act(k, part)` for the values in `range(k)`, 0 ≤ k < n, likewise.
///
/// # Safety
/// No two ranges have a value in common.
unsafe fn each_range<T: Send>(
    values: &mut [T],
    n: usize,
    range: impl Fn(usize) -> Range<usize> + Sync,
    act: impl Fn(usize, &mut [T]) + Sync,
) {
    let (all, start) = (values.len(), Start(values.as_mut_ptr()));
    each(n, |k| {
        let range = range(k);
        assert!(range.start <= range.end && range.end <= all, "{range:?} of {all} values");
        // SAFETY: ranges lie within the slice that is borrowed for as long as this call, and do not overlap; every k
        // is given once.
        act(k, unsafe { std::slice::from_raw_parts_mut(start.at(range.start), range.len()) });
    });
}

/// `act(k, item)` of every item, in their order; each is a task.
pub fn map<I: Iterator<Item: Send>, R: Send>(items: I, act: impl Fn(usize, I::Item) -> R + Sync) -> Vec<R> {
    map_in(items, 1, || (), |(), k, item| act(k, item))
}

/// `act(room, k, item)` likewise, where up to `grain` items in a row are a task and have a room of their own.
pub fn map_in<I: Iterator<Item: Send>, S, R: Send>(
    items: I,
    grain: usize,
    room: impl Fn() -> S + Sync,
    act: impl Fn(&mut S, usize, I::Item) -> R + Sync,
) -> Vec<R> {
    // Called through a pointer: compiled once, not for one thread and for several.
    let act: &(dyn Fn(&mut S, usize, I::Item) -> R + Sync) = &act;
    if rayon::current_num_threads() == 1 {
        let mut room = room();
        return items.enumerate().map(|(k, item)| act(&mut room, k, item)).collect();
    }
    let mut made: Vec<(Option<I::Item>, Option<R>)> = items.map(|item| (Some(item), None)).collect();
    // Tasks differ by one item at most, and a thread's part is some of them: threads end together.
    let (all, threads) = (made.len(), rayon::current_num_threads());
    let tasks = all.min(threads * all.div_ceil(threads * grain).max(TASKS));
    let range = |task: usize| all * task / tasks..all * (task + 1) / tasks;
    // SAFETY: one begins where the other ends.
    unsafe {
        each_range(&mut made, tasks, range, |task, made| {
            let (mut room, first) = (room(), range(task).start);
            for (i, (item, made)) in made.iter_mut().enumerate() {
                *made = item.take().map(|item| act(&mut room, first + i, item));
            }
        });
    }
    made.into_iter().map(|(_, made)| made.expect("made of its item")).collect()
}

/// Calls `act`, within which loops of this thread are rayon's.
fn apart<R>(act: impl FnOnce() -> R) -> R {
    let before = APART.replace(true);
    let result = act();
    APART.set(before);
    result
}

/// Makes this thread, one of rayon's current pool, the one whose loops the pool's threads stay awake for.
pub fn lead() {
    let threads = rayon::current_num_threads();
    if let (Some(leader), true) = (rayon::current_thread_index(), threads > 1) {
        CREW.with(|crew| _ = crew.get_or_init(|| Arc::new(Crew::new(threads, leader))));
    }
}

/// On cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Line<T>(T);

/// Where the values of a loop begin.
struct Start<T>(*mut T);

// SAFETY: see `each_chunk`: threads reach other values through it, which may go to other threads.
unsafe impl<T: Send> Sync for Start<T> {}

impl<T> Start<T> {
    fn at(&self, index: usize) -> *mut T {
        self.0.wrapping_add(index)
    }
}

type Act<'a> = dyn Fn(usize) + Sync + 'a;

struct Crew {
    leader: usize,
    /// Of each thread: the tasks that are left of its part.
    left: Vec<Line<Left>>,
    /// Of each thread: [`ASLEEP`], [`CALLED`] or [`AWAKE`].
    state: Vec<Line<AtomicU8>>,
    /// Loops begun.
    begun: Line<AtomicUsize>,
    /// Tasks of this loop that are not done.
    undone: Line<AtomicUsize>,
    /// What the tasks of this loop do: valid while one is not done.
    act: Cell<Option<*const Act<'static>>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: all but `act` is; the leader writes it while no task is left, and others read it when they took a task.
unsafe impl Send for Crew {}
// SAFETY: as above.
unsafe impl Sync for Crew {}

impl Crew {
    fn new(threads: usize, leader: usize) -> Crew {
        Crew {
            leader,
            left: (0..threads).map(|_| Line::default()).collect(),
            state: (0..threads).map(|_| Line::default()).collect(),
            begun: Line::default(),
            undone: Line::default(),
            act: Cell::new(None),
            panic: Mutex::new(None),
        }
    }

    /// Called by the leader, outside loops.
    fn each(self: &Arc<Crew>, n: usize, act: &Act) {
        let threads = self.left.len();
        if self.call() {
            let crew = Arc::clone(self);
            rayon::spawn_broadcast(move |context| crew.help(context.index()));
        }
        // SAFETY: only its lifetime changes; no task is left when this returns or unwinds.
        self.act.set(Some(unsafe { std::mem::transmute::<*const Act<'_>, *const Act<'static>>(act) }));
        self.undone.0.store(n, Ordering::Relaxed);
        for (t, left) in self.left.iter().enumerate() {
            left.0.put(n * t / threads..n * (t + 1) / threads);
        }
        self.begun.0.fetch_add(1, Ordering::Release);
        apart(|| self.work(self.leader));
        let mut looks = 0;
        while self.undone.0.load(Ordering::Acquire) > 0 {
            if looks < PATIENCE {
                looks += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        // The lock is free again before the panic goes on.
        let panic = self.panic.lock().expect("nothing panics with it").take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Whether there are threads that sleep; they are then taken for called.
    fn call(&self) -> bool {
        let others = self.state.iter().enumerate().filter(|(t, _)| *t != self.leader);
        others.fold(false, |any, (_, state)| {
            let asleep = state.0.load(Ordering::Relaxed) == ASLEEP;
            if asleep {
                state.0.store(CALLED, Ordering::Relaxed);
            }
            any || asleep
        })
    }

    /// Takes tasks until none is left.
    fn work(&self, me: usize) {
        let mut done = 0;
        while let Some(task) = self.take(me) {
            let act = self.act.get().expect("set before tasks are");
            // SAFETY: the task that was taken is not done, so that the leader is still in `each`.
            let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*act)(task) }));
            if let Err(panic) = result {
                self.panic.lock().expect("nothing panics with it").get_or_insert(panic);
            }
            done += 1;
        }
        self.undone.0.fetch_sub(done, Ordering::Release);
    }

    /// A task that is then this thread's: the first of its part, or the last of the part with most left. (A part may
    /// come to be the same again in another loop: the task is then one of that loop.)
    fn take(&self, me: usize) -> Option<usize> {
        self.left[me].0.take_first().or_else(|| {
            let threads = self.left.len();
            loop {
                // Of equals the next one after this thread, so that not all go for the same.
                let others = (1..threads).map(|k| (me + k) % threads).map(|t| (t, self.left[t].0.get()));
                let (most, theirs) = others.rev().max_by_key(|(_, left)| left.len())?;
                if theirs.is_empty() {
                    return None;
                }
                if self.left[most].0.replace(&theirs, &(theirs.start..theirs.end - 1)) {
                    return Some(theirs.end - 1);
                }
            }
        })
    }

    /// What another thread than the leader does until it has found nothing for a while.
    fn help(&self, me: usize) {
        let state = &self.state[me].0;
        if state.load(Ordering::Relaxed) != CALLED {
            return;
        }
        state.store(AWAKE, Ordering::Relaxed);
        let (mut seen, mut looks, mut since) = (None, 0, Instant::now());
        loop {
            let begun = self.begun.0.load(Ordering::Acquire);
            if seen != Some(begun) {
                seen = Some(begun);
                self.work(me);
                since = Instant::now();
            }
            std::hint::spin_loop();
            looks = (looks + 1) % LOOKS;
            if looks == 0 {
                match rayon::yield_now() {
                    Some(rayon::Yield::Executed) => since = Instant::now(),
                    _ if since.elapsed() > VIGIL => break,
                    _ => (),
                }
            }
        }
        state.store(ASLEEP, Ordering::Relaxed);
    }
}

/// Consecutive tasks that are left, of which several threads take: fewer than 2^32.
#[derive(Default)]
#[repr(transparent)]
pub struct Left(AtomicU64);

impl Left {
    /// The same word elsewhere.
    pub fn at(word: &AtomicU64) -> &Left {
        // SAFETY: `Left` is transparent.
        unsafe { &*std::ptr::from_ref(word).cast() }
    }

    pub fn get(&self) -> Range<usize> {
        unpacked(self.0.load(Ordering::Relaxed))
    }

    /// What was written before is seen by who takes one of `tasks`.
    pub fn put(&self, tasks: Range<usize>) {
        self.0.store(packed(&tasks), Ordering::Release);
    }

    /// Whether there still were `old`, in whose place there are `new` then.
    pub fn replace(&self, old: &Range<usize>, new: &Range<usize>) -> bool {
        self.0.compare_exchange(packed(old), packed(new), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// The first of them, which is then taken.
    pub fn take_first(&self) -> Option<usize> {
        loop {
            let left = self.get();
            if left.is_empty() {
                return None;
            }
            if self.replace(&left, &(left.start + 1..left.end)) {
                return Some(left.start);
            }
        }
    }
}

/// A range as one word.
pub fn packed(range: &Range<usize>) -> u64 {
    (range.start as u64) << 32 | range.end as u64
}

pub fn unpacked(word: u64) -> Range<usize> {
    (word >> 32) as usize..(word & u64::from(u32::MAX)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `act` on the leader of a pool of some threads.
    fn led(threads: usize, act: impl FnOnce() + Send) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            lead();
            assert_eq!(CREW.with(|crew| crew.get().is_some()), threads > 1);
            act();
        });
    }

    #[test]
    fn every_task_is_done_once_in_5000_loops_of_0_to_40_tasks_on_1_to_7_threads() {
        for threads in 1..8 {
            led(threads, || {
                let counts: Vec<AtomicUsize> = (0..40).map(|_| AtomicUsize::new(0)).collect();
                let mut truth = [0; 40];
                for turn in 0..5000 {
                    let n = turn * 7 % 41;
                    each(n, |i| {
                        counts[i].fetch_add(i + turn, Ordering::Relaxed);
                    });
                    (0..n).for_each(|i| truth[i] += i + turn);
                    // Some loops find the others asleep.
                    if turn % 1000 == 0 {
                        std::thread::sleep(3 * VIGIL);
                    }
                }
                assert_eq!(counts.iter().map(|c| c.load(Ordering::Relaxed)).collect::<Vec<_>>(), truth);
            });
        }
    }

    #[test]
    fn chunks_of_7_cover_100_values_once() {
        led(3, || {
            let mut values = vec![0; 100];
            each_chunk(&mut values, 7, |k, chunk| {
                assert_eq!(chunk.len(), if k == 14 { 2 } else { 7 });
                chunk.iter_mut().enumerate().for_each(|(i, v)| *v += 7 * k + i);
            });
            assert_eq!(values, (0..100).collect::<Vec<_>>());
            each_chunk(&mut values[..0], 7, |_, _| panic!("there is none"));
        });
    }

    #[test]
    fn results_are_in_the_order_of_their_items_and_4_threads_take_50_in_20_tasks_of_at_most_3() {
        // 17 tasks of 3, the last of 2, would give the threads 12, 12, 12 and 14 items.
        let room = |k: usize| k + 1 - (0..20).map(|task| 50 * task / 20).rfind(|first| *first <= k).unwrap();
        for threads in [1, 4] {
            led(threads, || {
                let mut values: Vec<usize> = (0..50).collect();
                let made = map_in(values.iter_mut(), 3, Vec::new, |room, k, value| {
                    assert_eq!(k, *value);
                    room.push(k);
                    *value = 7 * k;
                    room.len()
                });
                assert_eq!(values, (0..50).map(|k| 7 * k).collect::<Vec<_>>());
                assert!(threads == 1 || (0..50).map(room).max() == Some(3));
                assert_eq!(made, (0..50).map(|k| if threads == 1 { k + 1 } else { room(k) }).collect::<Vec<_>>());
                assert_eq!(map("abc".chars(), |k, c| format!("{c}{k}")), ["a0", "b1", "c2"]);
            });
        }
    }

    #[test]
    fn others_do_the_tasks_of_a_thread_that_sleeps_in_each_of_its_own() {
        led(3, || {
            let done: Vec<AtomicUsize> = (0..3).map(|_| AtomicUsize::new(0)).collect();
            each(60, |_| {
                let me = rayon::current_thread_index().unwrap();
                done[me].fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(if me == 0 { 10 } else { 1 }));
            });
            let done: Vec<usize> = done.iter().map(|d| d.load(Ordering::Relaxed)).collect();
            assert_eq!(done.iter().sum::<usize>(), 60);
            // An even share is 20.
            assert!(done[0] < 15, "{done:?}");
        });
    }

    #[test]
    fn a_panic_in_a_task_comes_to_the_caller_once_all_tasks_are_done_and_the_next_loop_runs() {
        led(4, || {
            let done = AtomicUsize::new(0);
            let loud = catch_unwind(AssertUnwindSafe(|| {
                each(20, |i| {
                    assert_ne!(i, 13, "the task that fails");
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }));
            assert!(loud.is_err());
            assert_eq!(done.load(Ordering::Relaxed), 19);
            each(20, |_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.load(Ordering::Relaxed), 39);
        });
    }

    #[test]
    fn loops_within_loops_and_loops_of_rayon_end() {
        led(4, || {
            for _ in 0..200 {
                let count = AtomicUsize::new(0);
                each(6, |_| {
                    each(5, |_| {
                        count.fetch_add(1, Ordering::Relaxed);
                    });
                });
                (0..10).into_par_iter().for_each(|_| {
                    each(7, |_| {
                        count.fetch_add(1, Ordering::Relaxed);
                    });
                });
                assert_eq!(count.into_inner(), 6 * 5 + 10 * 7);
            }
        });
    }
}
