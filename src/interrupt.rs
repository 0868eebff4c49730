//! The one flag that asks long work to stop: set by a signal or a limit, polled between tiles.

use std::sync::atomic::{AtomicBool, Ordering};

static RAISED: AtomicBool = AtomicBool::new(false);

pub fn raise() {
    RAISED.store(true, Ordering::SeqCst);
}

pub fn raised() -> bool {
    RAISED.load(Ordering::Relaxed)
}
