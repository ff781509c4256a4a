//! The user's terminal: raw while a session runs, and its size.
//!
//! In: standard input. Out: a guard that puts everything back, and sizes as they change. Never reads.

use std::io::{IsTerminal as _, stdin, stdout};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Sizes that wait to be sent; only the newest counts.
const SIZES: usize = 4;

/// A terminal in raw mode; dropping it puts it back.
pub struct Raw(Termios);

impl Raw {
    /// Puts standard input into raw mode; `None` if it is no terminal.
    pub fn enter() -> Option<Raw> {
        let saved = tcgetattr(stdin()).ok()?;
        let mut raw = saved.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Raw(saved))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// Whether standard input is a terminal.
pub fn is_terminal() -> bool {
    stdin().is_terminal()
}

/// Columns and rows.
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin())).ok()?;
    Some((size.ws_col, size.ws_row))
}

/// The size now and whenever it changes. With `redraw` another one comes first, so that a program draws its screen anew.
pub fn sizes(redraw: bool) -> mpsc::Receiver<(u16, u16)> {
    let (sender, receiver) = mpsc::channel(SIZES);
    tokio::spawn(async move {
        let Ok(mut changed) = signal(SignalKind::window_change()) else { return };
        let mut next = size();
        if let Some((columns, rows)) = next.filter(|_| redraw) {
            let _ = sender.send((columns.saturating_add(1), rows.saturating_add(1))).await;
        }
        loop {
            if let Some(now) = next
                && sender.send(now).await.is_err()
            {
                return;
            }
            tokio::select! {
                changed = changed.recv() => if changed.is_none() { return },
                () = sender.closed() => return,
            }
            next = size();
        }
    });
    receiver
}
