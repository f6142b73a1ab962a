//! SIGINT and SIGTERM as messages.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::exit::{Failure, Result};

/// From now on the first signal is a message. The second one ends the process: it cannot get stuck.
pub(crate) fn watch() -> Result<Receiver<()>> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot handle signals: {error}; try again"));
    let (sender, receiver) = bounded(1);
    let seen = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal sets what the second one finds set.
        flag::register_conditional_default(signal, seen.clone()).map_err(failed)?;
        flag::register(signal, seen.clone()).map_err(failed)?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let forward = move || {
        if signals.forever().next().is_some() {
            // Nobody listens any more when the command is at its end anyway.
            let _ = sender.send(());
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(forward).map_err(failed)?;
    Ok(receiver)
}
