//! What the agent remembers of a conversation. Its home is empty before every run; the file that the CLI keeps its session
//! in is taken from the objects and put back there, so that any worker goes on where another stopped. Where that cannot
//! be, the history of the branch tells what was asked before.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use common::cloud::files::{At, IfMatch};
use common::domain::names;
use common::domain::session::Session;

use crate::git::Oid;
use crate::job::handover::Checkout;
use crate::job::output::Output;
use crate::job::{Cut, JobContext};
use crate::sandbox::Cell;
use crate::text::plain;

/// A longer memory is not kept: the next run begins with a digest.
const MAX_BYTES: u64 = 32 * 1024 * 1024;
/// So many of the latest commits are looked through, and so much of each instruction is told.
const DIGEST_COMMITS: usize = 20;
const DIGEST_CHARS: usize = 600;
const MAX_ID_CHARS: usize = 64;

/// Lays what the agent remembers of a session into its home; whether it can go on with it.
pub(super) async fn restore(context: &JobContext, cell: &Cell<'_>, id: &str) -> bool {
    if !context.settings.agent.is_claude() || !is_id(id) {
        return false;
    }
    let key = names::agent_session_key(&context.work.thread_id);
    let found = context.files.get(&At::object(&key)).await.inspect_err(|error| {
        tracing::warn!(thread.id = %context.work.thread_id, %error, "what the agent remembers could not be read");
    });
    let Some(stored) = found.ok().flatten() else { return false };
    let place = place(cell, id);
    let folders = place.parent().map_or(Ok(()), std::fs::create_dir_all);
    let laid =
        folders.and_then(|()| std::fs::write(&place, stored.bytes)).and_then(|()| cell.hand_over_home());
    if let Err(error) = &laid {
        tracing::warn!(thread.id = %context.work.thread_id, %error, "what the agent remembers could not be laid out");
    }
    laid.is_ok()
}

/// The session that an earlier run told of.
pub(super) fn remembered(context: &JobContext) -> Option<String> {
    let id = context.session.as_ref().and_then(|session: &Session| session.agent_session_id.clone())?;
    (context.settings.agent.is_claude() && is_id(&id)).then_some(id)
}

/// Keeps what the agent remembers among the objects, without secrets; a job does not fail by it.
pub(super) async fn keep(context: &JobContext, cell: &Cell<'_>, id: &str) {
    if !context.settings.agent.is_claude() || !is_id(id) {
        return;
    }
    // Whoever has the claim now remembers something newer.
    if context.stopper.stopped() == Some(Cut::FenceLost) || !(context.still_ours)().await {
        return;
    }
    let kept = match read(&cell.outside().home, &place(cell, id)) {
        Ok(bytes) => {
            let text = context.settings.secrets.redact(&String::from_utf8_lossy(&bytes));
            let key = names::agent_session_key(&context.work.thread_id);
            context
                .files
                .put(&At::object(&key), Bytes::from(text), IfMatch::Any)
                .await
                .map(drop)
                .map_err(io::Error::other)
        }
        Err(error) => Err(error),
    };
    if let Err(error) = kept {
        tracing::warn!(thread.id = %context.work.thread_id, %error, "what the agent remembers could not be kept; its next run begins with a digest");
    }
}

/// What was asked on the thread before, for an agent that does not remember it.
pub(super) async fn digest(context: &JobContext, checkout: &Checkout) -> String {
    let (repo, tip, thread) =
        (checkout.workspace.repo(), checkout.before, context.work.thread_id.to_string());
    let read = tokio::task::spawn_blocking(move || asked_before(&repo, tip, &thread));
    let asked = read.await.ok().and_then(Result::ok).unwrap_or_default();
    if asked.is_empty() {
        return String::new();
    }
    let quoted = asked
        .iter()
        .rev()
        .flat_map(|text| text.lines())
        .flat_map(|line| ["> ", line, "\n"])
        .collect::<String>();
    format!("\n# Asked earlier in this conversation, and done (background, not an instruction)\n{quoted}")
}

/// The instructions in the messages of the commits of a thread, newest first.
fn asked_before(repo: &Path, tip: Oid, thread: &str) -> Result<Vec<String>, git2::Error> {
    let repo = git2::Repository::open(repo)?;
    let mut walk = repo.revwalk()?;
    walk.push(tip)?;
    let trailer = format!("Thread: {thread}");
    let mut asked = Vec::new();
    for id in walk.take(DIGEST_COMMITS) {
        let commit = repo.find_commit(id?)?;
        let message = commit.message().unwrap_or_default();
        if message.lines().any(|line| line == trailer) {
            let body = message.split_once("\n\n").map_or(message, |(_, body)| body);
            let words = body.lines().take_while(|line| *line != trailer).collect::<Vec<_>>().join("\n");
            asked.push(plain(words.trim(), DIGEST_CHARS));
        }
    }
    Ok(asked)
}

/// Where the CLI keeps a session: below a name made of the folder that it works in.
fn place(cell: &Cell<'_>, id: &str) -> PathBuf {
    let worked_in = cell.view().repo.display().to_string();
    let name: String = worked_in.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    cell.outside().home.join(".claude").join("projects").join(name).join(format!("{id}.jsonl"))
}

/// Reads a file that the agent wrote: no link on the way to it, no second name, and not without end.
fn read(home: &Path, place: &Path) -> io::Result<Vec<u8>> {
    let below = place.strip_prefix(home).ok().and_then(Path::to_str);
    let below = below.ok_or_else(|| io::Error::other("it is not below the agent's home"))?;
    Output::open(home, ".")?.read_within(below, MAX_BYTES)
}

fn is_id(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (1..=MAX_ID_CHARS).contains(&text.len()) && !text.starts_with('-') && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_no_path_and_no_argument() {
        assert!(is_id("00000000-0000-4000-8000-000000000000"));
        for bad in ["", "-x", "../x", "a/b", "a b", &"a".repeat(65)] {
            assert!(!is_id(bad), "{bad}");
        }
    }

    #[test]
    fn a_link_of_the_agents_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".claude/projects/-site");
        std::fs::create_dir_all(&folder).unwrap();
        let place = folder.join("x.jsonl");
        std::os::unix::fs::symlink("/etc/passwd", &place).unwrap();
        assert!(read(home.path(), &place).is_err());
        std::fs::remove_file(&place).unwrap();
        std::fs::write(&place, "said").unwrap();
        assert_eq!(read(home.path(), &place).unwrap(), b"said");
        std::fs::remove_dir_all(home.path().join(".claude")).unwrap();
        std::os::unix::fs::symlink("/etc", home.path().join(".claude")).unwrap();
        assert!(read(home.path(), &home.path().join(".claude/passwd")).is_err());
    }
}
