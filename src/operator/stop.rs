//! Ends the process in time after a signal, whatever it is doing.
//!
//! It has a thread and a runtime of its own: the main runtime handles signals and timers only when one of its threads
//! is idle.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// The longest time from a signal to the end of the process.
pub const PATIENCE: Duration = Duration::from_millis(4_500);

/// Returns a channel that receives the signal to stop. The process ends at most [`PATIENCE`] after that.
///
/// # Errors
/// When the thread cannot be started.
pub fn signals() -> std::io::Result<oneshot::Receiver<()>> {
    let (stop_in, stop) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("stop".to_owned()).spawn(move || {
        runtime.block_on(signalled());
        let _ = stop_in.send(());
        std::thread::sleep(PATIENCE);
        // No log line: a slow reader of the log may be the cause of the delay.
        std::process::exit(0);
    })?;
    Ok(stop)
}

async fn signalled() {
    let interrupt = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(interrupt.await),
    }
}
