//! A progress bar for whatever takes over a second: on standard error, and only on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rendezvous_archive::scan::Progress;
use tokio::time::Instant;

/// How long a command runs before it shows a bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar, which goes when it is dropped.
#[derive(Debug)]
pub struct Bar {
    begun: Instant,
    /// Shown on a terminal only.
    shown: Option<ProgressBar>,
}

impl Bar {
    /// A function that shows how far the archive is read.
    pub fn shows() -> impl FnMut(Progress) {
        let mut bar = Self { begun: Instant::now(), shown: None };
        move |progress| bar.show(&progress)
    }

    fn show(&mut self, progress: &Progress) {
        if self.begun.elapsed() < PATIENCE {
            return;
        }
        let bar = self.shown.get_or_insert_with(|| {
            let bar = ProgressBar::new(0);
            match ProgressStyle::with_template("{msg:20} {wide_bar} {pos}/{len} days") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        bar.set_length(progress.of_days as u64);
        bar.set_position(progress.days as u64);
        bar.set_message(format!("reading {}", progress.table));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}
