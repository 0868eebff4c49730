//! The one flag that asks long work to stop: set by a signal or by the end of the wall time, read between tiles.
//!
//! It lives apart so that a room may poll it without naming the observers. A flag differs from rank to rank: whoever
//! polls it inside a collective step must make the ranks agree before they part ways.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use crate::error::tell;

/// Signals that ask for a checkpoint and a clean end.
pub const SIGNALS: [i32; 6] = [libc::SIGUSR1, libc::SIGUSR2, libc::SIGXCPU, libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

static SIGNAL: AtomicI32 = AtomicI32::new(0);
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);
/// Nanoseconds after [`start`]; `u64::MAX`: none.
static DEADLINE: AtomicU64 = AtomicU64::new(u64::MAX);

/// The start of the process, as near as the first call to it.
pub fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Whether long work should stop now and return `Err(Interrupted)`.
pub fn requested() -> bool {
    signal().is_some() || past_deadline()
}

/// The signal that came since the last [`acknowledge`].
pub fn signal() -> Option<i32> {
    Some(SIGNAL.load(Ordering::Relaxed)).filter(|s| *s != 0)
}

pub fn past_deadline() -> bool {
    let deadline = DEADLINE.load(Ordering::Relaxed);
    deadline != u64::MAX && start().elapsed().as_nanos() as u64 >= deadline
}

/// Stop `seconds` after the start of the process; `None`: no limit.
pub fn set_deadline(seconds: Option<f64>) {
    DEADLINE.store(seconds.map_or(u64::MAX, |s| (s * 1e9) as u64), Ordering::Relaxed);
}

/// Forgets the request, so that the work of ending (certificates, output) is not interrupted by it as well.
pub fn acknowledge() {
    SIGNAL.store(0, Ordering::Relaxed);
    set_deadline(None);
}

/// Asks for a stop, as a signal does.
pub fn request(signal: i32) {
    SIGNAL.store(signal, Ordering::Relaxed);
}

/// Takes the signals over. A second SIGINT ends the process at once.
pub fn install() {
    start();
    for signal in SIGNALS {
        // SAFETY: the handler only touches atomics and `emulate_default_handler`, which may be called in a handler.
        let registered = unsafe { signal_hook::low_level::register(signal, move || on_signal(signal)) };
        if let Err(e) = registered {
            tell(format_args!("spanwise: warning: signal {signal} keeps its default action: {e}"));
        }
    }
}

fn on_signal(signal: i32) {
    request(signal);
    if signal == libc::SIGINT && INTERRUPTS.fetch_add(1, Ordering::Relaxed) > 0 {
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
}

/// "SIGUSR1" of its number.
pub fn name(signal: i32) -> &'static str {
    match signal {
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGTERM => "SIGTERM",
        libc::SIGINT => "SIGINT",
        libc::SIGHUP => "SIGHUP",
        _ => "a signal",
    }
}
