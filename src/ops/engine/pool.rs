//! Fanning chunks out over threads while keeping their order.
//!
//! Rests on scoped threads. Every chunk has a sequence number; a [`Turnstile`] lets the threads through one at a time
//! in that order. So a worker computes in parallel, decides in order, computes again and delivers in order, and memory
//! holds one chunk a thread. Invariant: a thread that fails opens the gate for nobody; all others stop.

use std::sync::{Condvar, Mutex, PoisonError};

/// A gate that lets chunk n through after chunk n - 1.
#[derive(Debug, Default)]
pub(crate) struct Turnstile {
    state: Mutex<(u64, bool)>,
    moved: Condvar,
}

/// The run was stopped by another thread's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

impl Turnstile {
    /// Waits for turn `number`, runs `work`, and lets the next one through. `None` when the gate was closed meanwhile.
    pub(crate) fn pass<T>(&self, number: u64, work: impl FnOnce() -> T) -> Result<T, Stopped> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.0 != number && !state.1 {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.1 {
            return Err(Stopped);
        }
        drop(state);
        // Only the thread whose turn it is gets here, so the work itself needs no lock.
        let result = work();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = number + 1;
        self.moved.notify_all();
        Ok(result)
    }

    /// Lets nobody through any more.
    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.moved.notify_all();
    }
}

/// Closes the gates when dropped without having been disarmed: also when a worker panics.
pub(crate) struct Guard<'a> {
    pub(crate) gates: [&'a Turnstile; 2],
    pub(crate) armed: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.gates.iter().for_each(|gate| gate.close());
        }
    }
}

/// As many threads as asked for, or one a core, at least one.
pub(crate) fn thread_count(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        n => n,
    }
}

/// Does `work` for each of a few items, each on a thread of its own; the results come in the order of the items.
pub(crate) fn in_order<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if let [item] = items {
        return vec![work(item)];
    }
    std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = items.iter().map(|item| scope.spawn(move || work(item))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, R>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(join).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_in_order_whatever_the_threads_do() {
        let gate = Turnstile::default();
        let seen = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for first in 0..4_u64 {
                let (gate, seen) = (&gate, &seen);
                scope.spawn(move || {
                    for number in (first..100).step_by(4) {
                        gate.pass(number, || seen.lock().expect("not poisoned").push(number)).expect("open");
                    }
                });
            }
        });
        assert_eq!(seen.into_inner().expect("not poisoned"), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_closed_gate_releases_the_waiting() {
        let gate = Turnstile::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.pass(5, || ()));
            gate.close();
            assert_eq!(waiting.join().expect("no panic"), Err(Stopped));
        });
    }
}
