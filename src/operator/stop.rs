//! Ends the process in time when it is asked to stop, whatever it is doing.
//!
//! On a thread and a runtime of its own: the main runtime learns of a signal only while one of its threads has nothing else to
//! do, and so do its timers.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// How long the process may take to end after a signal.
pub const PATIENCE: Duration = Duration::from_millis(4_500);

/// Returns what is told when the process is asked to stop. It ends [`PATIENCE`] after that at the latest.
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
        // Nothing is logged: whoever reads the log may be why it takes so long.
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
