//! How the programs log: sentences for people, or one JSON object a line (`--log json`). To standard error; standard
//! output belongs to answers.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::config::{LogFormat, LogSettings};

/// Checks what is logged: a level, or levels of targets. A word that is neither would silence the log without a word.
pub fn check_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let plain = |word: &str| LEVELS.iter().any(|level| word.trim().eq_ignore_ascii_case(level));
    if let Some(word) = text.split(',').find(|word| !word.contains('=') && !plain(word)) {
        return Err(format!("{word:?} is no level; take one of {}, or TARGET=LEVEL", LEVELS.join(", ")));
    }
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Installs the log for this process. Called once, from `main`.
pub fn init(settings: &LogSettings) {
    let filter = EnvFilter::try_new(&settings.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_timer(SystemTime)
        .with_target(false);
    let installed = match settings.log {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_target(true).try_init(),
    };
    if installed.is_err() {
        tracing::debug!("the log was already installed");
    }
}

#[cfg(test)]
mod tests {
    use super::check_filter;

    #[test]
    fn what_would_silence_the_log_is_refused() {
        for good in ["info", "WARN", "info,worker=debug", "off", "hermes::http=trace,warn"] {
            assert!(check_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "infoo", "info,loud", "worker=loud", "info,,warn"] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }
}
