//! What the reports on a pipeline show alike, whichever engine runs it.

use segcdc_engine_native::{Health, PipelineStateWord, StatusNote};

use crate::paint::Paint;

/// A pipeline's state in the colour of its health.
pub(crate) fn state(state: PipelineStateWord, health: Health, paint: Paint) -> String {
    let word = match state {
        PipelineStateWord::Running => "running",
        PipelineStateWord::Degraded => "degraded",
        PipelineStateWord::Starting => "starting",
        PipelineStateWord::Paused => "paused",
        PipelineStateWord::Stopped => "stopped",
        PipelineStateWord::Failed => "failed",
    };
    match health {
        Health::Ok => paint.green(word),
        Health::Unknown | Health::Warn => paint.yellow(word),
        Health::Error => paint.red(word),
    }
}

/// Notes, each with what to do about it.
pub(crate) fn notes(notes: &[StatusNote], paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for note in notes {
        lines.push(format!("\n{} {} [{}]", paint.yellow("note"), note.detail, note.code));
        if !note.hint.is_empty() {
            lines.push(format!("  hint {}", note.hint));
        }
    }
    lines
}
