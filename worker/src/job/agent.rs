//! The agent: a child that gets the prompt on standard input and tells what it does as one JSON event a line. It is
//! watched: silence, a missing end and the time limit each have their own deadline.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use common::cloud::files::{At, IfMatch};
use common::domain::names;
use common::domain::outcome::JobOutcome;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::ChildStdout;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::begun::Begun;
use super::caches::{self, Writer};
use super::handover::{AgentReport, Checkout};
use super::prompt::{lay_out, prompt, put_away, repair};
use super::workspace::{Places, Workspace};
use super::{Cut, Failure, JobContext, Stopper, Trouble, settings as repo_settings};
use crate::git::{During as _, off_thread};
use crate::meter::Met;
use crate::process::{Running, STOP_GRACE, last_words, tail};
use crate::sandbox::Who;
use crate::secrets::Secrets;
use crate::text::plain;

mod events;
mod memory;

pub use events::{AgentCommand, NoAgent};
use events::{Event, Finish};

/// A longer line of the agent is cut.
const MAX_LINE_BYTES: usize = 1024 * 1024;
/// A longer transcript keeps its beginning.
const MAX_TRANSCRIPT_BYTES: usize = 16 * 1024 * 1024;
const STDERR_TAIL_BYTES: usize = 4096;
/// So long whoever is cut off waits for the agent's folders to be emptied, for what it remembers to be kept, and for what it
/// said: each a while of what saving its work has left.
const CUT_LIMIT: Duration = Duration::from_secs(1);
/// What the prompt says a question begins with.
const QUESTION: &str = "QUESTION:";

/// How long the agent may take to do things.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until its first event; then it is started once more.
    pub first_event: Duration,
    /// Between two events, while nothing comes from its model either; then it is stopped.
    pub silence: Duration,
    /// From its result to its end; then it is killed, and the result counts.
    pub after_result: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_event: Duration::from_mins(1),
            silence: Duration::from_mins(5),
            after_result: Duration::from_secs(30),
        }
    }
}

/// Runs the agent on the checkout. Also when it fails, what it used and said is told.
pub async fn run(
    context: &JobContext,
    checkout: &Checkout,
    errand: &Errand<'_>,
) -> Result<AgentReport, (Trouble, AgentReport)> {
    let mut talk = Talk { transcript: said_before(context, errand).await, ..Talk::default() };
    let before = context.meter.usage();
    let result = run_watched(context, checkout, errand, &mut talk).await;
    put_away(&checkout.workspace).await;
    let mut report = AgentReport {
        session_id: talk.session_id.clone(),
        transcript_key: in_time(context, "the transcript", keep_transcript(context, &talk)).await.flatten(),
        usage: context.meter.usage().beyond(before),
        ..AgentReport::default()
    };
    match result {
        Ok(finish) => {
            report.usage = context.meter.ended(before, finish.usage);
            report.summary = context.settings.secrets.redact(&plain(&finish.summary, usize::MAX));
            if finish.is_error {
                let detail = format!("the agent reported an error: {}", report.summary);
                return Err((gave_up(context, "agent-error", detail).into(), report));
            }
            if let Some(asked) = question(&report.summary) {
                report.summary = asked;
                report.asks = true;
            }
            Ok(report)
        }
        Err(trouble) => Err((trouble, report)),
    }
}

/// What the agent is started for.
#[derive(Debug)]
pub enum Errand<'a> {
    /// To do what the instruction says.
    Work,
    /// To mend what it did, because the site cannot be built or published with it.
    Repair {
        /// Why not.
        log: &'a str,
        /// Its session, which goes on.
        session: Option<&'a str>,
    },
}

impl Errand<'_> {
    fn prompt(&self, context: &JobContext, checkout: &Checkout) -> String {
        match self {
            Self::Work => prompt(context, checkout),
            Self::Repair { log, .. } => repair(context, checkout, log),
        }
    }

    /// The session to go on with.
    fn session(&self, context: &JobContext) -> Option<String> {
        match self {
            Self::Work => memory::remembered(context),
            Self::Repair { session, .. } => session.map(ToOwned::to_owned),
        }
    }
}

/// The transcript of the work that is now repaired, which goes on.
async fn said_before(context: &JobContext, errand: &Errand<'_>) -> Vec<u8> {
    let Errand::Repair { .. } = errand else { return Vec::new() };
    let at = At::object(names::transcript_key(&context.work.command_id));
    let found = context.files.get(&at).await.ok().flatten();
    found.map(|content| content.bytes.to_vec()).unwrap_or_default()
}

/// Its words without the mark, when a line is marked as a question: from the last such line on, all of it is asked. Any
/// but the last line may be quoted from a page, so there the mark is written as it was asked for.
fn question(summary: &str) -> Option<String> {
    let lines: Vec<&str> = summary.trim().lines().collect();
    let is_last = |at: usize| at + 1 == lines.len();
    let marks = |(at, line): (usize, &&str)| {
        let first = marked(line).filter(|_| is_last(at) || line.contains(QUESTION))?;
        Some((at, first.to_owned()))
    };
    let (at, first) = lines.iter().enumerate().rev().find_map(marks)?;
    let (before, after) = (&lines[..at], &lines[at + 1..]);
    let asked = [&[first.as_str()], after].concat().join("\n");
    (!asked.trim().is_empty()).then(|| format!("{}\n{}", before.join("\n"), asked.trim()).trim().to_owned())
}

/// What stands behind the mark of a line that begins with it.
fn marked(line: &str) -> Option<&str> {
    let line = line.trim().trim_start_matches('*');
    let mark = line.get(..QUESTION.len()).filter(|mark| mark.eq_ignore_ascii_case(QUESTION))?;
    Some(line[mark.len()..].trim_matches(['*', ' ']))
}

async fn run_watched(
    context: &JobContext,
    checkout: &Checkout,
    errand: &Errand<'_>,
    talk: &mut Talk,
) -> Result<Finish, Trouble> {
    if let Some(met) = context.meter.met() {
        return Err(exhausted(met).into());
    }
    let overall = context.meter.begins();
    if Instant::now() >= overall {
        return Err(out_of_time(context).into());
    }
    lay_out(context, &checkout.workspace).await?;
    let text = errand.prompt(context, checkout);
    let mut session = errand.session(context);
    let mut silent = false;
    loop {
        match once(context, checkout, (&text, session.as_deref()), overall, talk).await? {
            Seen::Finished(finish) => return Ok(finish),
            Seen::Forgotten => {
                tracing::warn!(command.id = %context.work.command_id, "the agent could not go on where it stopped and begins afresh");
                session = None;
            }
            Seen::Nothing if !silent => {
                tracing::warn!(command.id = %context.work.command_id, "the agent showed no sign of life and is started once more");
                silent = true;
            }
            Seen::Nothing => break,
            Seen::Met(met) => return Err(exhausted(met).into()),
            Seen::Silence => {
                return Err(
                    failed("agent-silent", "the agent stopped showing signs of life".to_owned()).into()
                );
            }
            Seen::OutOfTime => return Err(out_of_time(context).into()),
            Seen::Gone(detail) => return Err(gave_up(context, "agent-exit", detail).into()),
        }
    }
    Err(failed("agent-silent", "the agent showed no sign of life, twice".to_owned()).into())
}

fn exhausted(met: Met) -> Failure {
    let detail = format!("the agent met {met}");
    Failure::new(JobOutcome::BudgetExhausted, "budget", met.owner_text(), detail)
}

fn out_of_time(context: &JobContext) -> Failure {
    let minutes = context.meter.max_minutes();
    let text =
        format!("The work took longer than {minutes} minutes and was stopped. What was done so far is kept.");
    let detail = format!("the agent was stopped after {minutes} minutes");
    Failure::new(JobOutcome::BudgetExhausted, "max-minutes", text, detail)
}

fn failed(code: &'static str, detail: String) -> Failure {
    let text = "The assistant that edits your site failed. Nothing was changed on your site.";
    Failure::new(JobOutcome::AgentFailed, code, text, detail)
}

/// An agent that ended without success: by itself, or because its model had no room for it.
fn gave_up(context: &JobContext, code: &'static str, detail: String) -> Failure {
    let Some(status) = context.meter.turned_away() else { return failed(code, detail) };
    let text = "The assistant that edits your site is in too much demand at the moment. Nothing was changed on your site; \
        please send your request again later.";
    let detail = format!("the model had no room for us (HTTP {status}): {detail}");
    Failure::new(JobOutcome::AgentFailed, "model-busy", text, detail)
}

/// What was said so far.
#[derive(Default)]
struct Talk {
    transcript: Vec<u8>,
    session_id: Option<String>,
}

enum Seen {
    Finished(Finish),
    Forgotten,
    Met(Met),
    Nothing,
    Silence,
    OutOfTime,
    Gone(String),
}

impl Seen {
    /// Whether it came to an end, and to a bad one.
    fn went_wrong(&self) -> bool {
        match self {
            Self::Gone(_) => true,
            Self::Finished(finish) => finish.is_error,
            _ => false,
        }
    }
}

/// One start of the agent, to its end.
async fn once(
    context: &JobContext,
    checkout: &Checkout,
    (prompt, session): (&str, Option<&str>),
    overall: Instant,
    talk: &mut Talk,
) -> Result<Seen, Trouble> {
    let settings = &context.settings;
    let workspace = &checkout.workspace;
    repo_settings::take_out(workspace.repo()).await?;
    note(context, checkout).await?;
    let sandbox = settings.sandbox.metered(&context.meter);
    let cell = context.stopper.within(Duration::ZERO, sandbox.cell(workspace, Who::Agent)).await;
    let cell = cell.map_err(Trouble::Cut)?.map_err(|error| {
        failed("agent-start", format!("the folders of the agent could not be prepared: {error}"))
    })?;
    let folder = workspace.clone();
    let begins = move || caches::begins(&folder.repo(), Writer::Agent).during("note that an agent begins");
    off_thread(begins).await?;
    let before = (context.meter.usage(), context.meter.asked());
    let session = match session {
        Some(id) => memory::restore(context, &cell, id).await.then_some(id),
        None => None,
    };
    let mut input = prompt.to_owned();
    if session.is_none() && memory::remembered(context).is_some() {
        input.push_str(&memory::digest(context, checkout).await);
    }
    let argv = settings.agent.argv(&context.work, &cell.view().attachments, session);
    let launch = cell.enclose(argv, settings.environment.for_agent(&cell.view().places()));
    let mut running = launch.and_then(|launch| launch.start()).map_err(|error| {
        failed("agent-start", format!("the agent could not be started (AGENT_COMMAND): {error}"))
    })?;
    tracing::info!(command.id = %context.work.command_id, "the agent was started");
    let stderr = tokio::spawn(tail(running.take_stderr(), STDERR_TAIL_BYTES + settings.secrets.longest()));
    let stdin = running.take_stdin();
    let feed = tokio::spawn(async move {
        // An agent that does not read to the end has its reasons.
        if let Some(mut stdin) = stdin {
            stdin.write_all(input.as_bytes()).await.ok();
        }
    });
    let seen = watch(context, &mut running, overall, talk).await;
    let exceeded = running.stop(STOP_GRACE).await;
    feed.abort();
    let words = last_words(stderr).await;
    let went_wrong = matches!(&seen, Ok(seen) if seen.went_wrong());
    let said_nothing = context.meter.usage().beyond(before.0).turns == 0;
    let is_rejected = went_wrong && context.meter.is_rejected();
    if settings.agent.is_claude() && (said_nothing || is_rejected) {
        // A model that does not answer makes no memory, and one that never will must not; what there was stays.
        talk.session_id = None;
    }
    if let Some(id) = &talk.session_id {
        in_time(context, "what the agent remembers", memory::keep(context, &cell, id)).await;
    }
    empty(&context.stopper, workspace.beside(Workspace::fresh_agent_places)).await;
    // One that was too busy, or out of reach, may answer the same later.
    let leads_nowhere = is_rejected || said_nothing && context.meter.asked() == before.1;
    match seen {
        // The model is not asked any more: that is how a run ends that goes through the gateway.
        Ok(_) if went_wrong && context.meter.met().is_some() => {
            Ok(context.meter.met().map_or(Seen::Nothing, Seen::Met))
        }
        Ok(_) if went_wrong && session.is_some() && leads_nowhere => Ok(Seen::Forgotten),
        Ok(Seen::Gone(detail)) if exceeded.is_some() => {
            let exceeded = exceeded.map(|exceeded| exceeded.to_string()).unwrap_or_default();
            Ok(Seen::Gone(format!("{detail}: {exceeded}")))
        }
        Ok(Seen::Gone(detail)) => Ok(Seen::Gone(with_words(&detail, &words, &settings.secrets))),
        seen => seen,
    }
}

/// From now on the edits in the checkout are those of this command.
async fn note(context: &JobContext, checkout: &Checkout) -> Result<(), Trouble> {
    let begun = Begun { command: context.work.command_id.clone(), epoch: context.epoch };
    let workspace = checkout.workspace.clone();
    let note = move || begun.note(&workspace.repo()).during("note which command the agent works on");
    Ok(off_thread(note).await?)
}

/// What the agent remembers is kept among the objects, or not at all: not in a folder that waits for its owner's next run.
/// What was done has to be saved in what is left of the time, whenever and however often the job is cut off; what is still
/// to be emptied then holds the folder, so that nobody works there meanwhile.
async fn empty(stopper: &Stopper, emptying: JoinHandle<io::Result<Places>>) {
    let emptied = stopper.within(CUT_LIMIT, emptying).await;
    if !matches!(emptied, Ok(Ok(Ok(_)))) {
        tracing::warn!(
            ?emptied,
            "what an agent left in its home is not removed yet; its next run does that first"
        );
    }
}

/// Work that was cut off does not wait for a store that takes long: what is kept of it besides is given up then.
async fn in_time<T>(context: &JobContext, what: &str, keeping: impl Future<Output = T>) -> Option<T> {
    let kept = context.stopper.within(CUT_LIMIT, keeping).await;
    kept.inspect_err(|cut| {
        tracing::warn!(command.id = %context.work.command_id, ?cut, "{what} could not be kept in what was left of the time");
    })
    .ok()
}

fn with_words(detail: &str, stderr: &[u8], secrets: &Secrets) -> String {
    let words = secrets.tail(stderr, STDERR_TAIL_BYTES);
    let words = words.trim();
    if words.is_empty() { detail.to_owned() } else { format!("{detail}; its last words: {words}") }
}

async fn watch(
    context: &JobContext,
    running: &mut Running,
    overall: Instant,
    talk: &mut Talk,
) -> Result<Seen, Trouble> {
    let patience = context.settings.patience;
    let Some(stdout) = running.take_stdout() else { return Ok(Seen::Nothing) };
    let secrets = &context.settings.secrets;
    let mut lines = Lines::new(stdout, MAX_LINE_BYTES + secrets.longest());
    let mut deadline = Instant::now() + patience.first_event;
    let mut heard = false;
    let mut finish = None;
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            () = sleep_until(deadline.min(overall)) => {
                return Ok(match finish {
                    Some(finish) => Seen::Finished(finish),
                    None if Instant::now() >= overall => Seen::OutOfTime,
                    None if heard => match listens_until(context) {
                        Some(until) => {
                            deadline = until;
                            continue;
                        }
                        None => Seen::Silence,
                    },
                    None => Seen::Nothing,
                });
            }
            () = context.stopper.token().cancelled() => {
                return Err(Trouble::Cut(context.stopper.stopped().unwrap_or(Cut::Stopped)));
            }
        };
        let Some(line) = line else {
            return Ok(finish
                .map_or_else(|| Seen::Gone("the agent ended without a result".to_owned()), Seen::Finished));
        };
        talk.keep(&secrets.head(&line, MAX_LINE_BYTES));
        let Some(event) = Event::parse(&line) else { continue };
        heard = true;
        deadline = Instant::now() + if finish.is_some() { patience.after_result } else { patience.silence };
        match event {
            Event::Session(id) => talk.session_id = Some(id),
            Event::Result(result) => {
                deadline = Instant::now() + patience.after_result;
                finish = Some(result);
            }
            Event::Message(message) => {
                context.meter.count_turn(&message);
                if let Some(met) = context.meter.met() {
                    return Ok(Seen::Met(met));
                }
            }
            Event::Other => {}
        }
    }
}

/// Until when one that says nothing counts as alive, because its model still talks to it: of a long answer an agent tells when
/// it is whole.
fn listens_until(context: &JobContext) -> Option<Instant> {
    let until = context.meter.heard()? + context.settings.patience.silence;
    (until > Instant::now()).then_some(until)
}

impl Talk {
    fn keep(&mut self, line: &[u8]) {
        if self.transcript.len() + line.len() < MAX_TRANSCRIPT_BYTES {
            self.transcript.extend_from_slice(line);
            self.transcript.push(b'\n');
        }
    }
}

/// Lines of bounded length; what is beyond the bound is dropped. May be dropped between two lines only, or with the child.
struct Lines {
    reader: BufReader<ChildStdout>,
    max_bytes: usize,
    partial: Vec<u8>,
}

impl Lines {
    fn new(stdout: ChildStdout, max_bytes: usize) -> Self {
        Self { reader: BufReader::new(stdout), max_bytes, partial: Vec::new() }
    }

    /// The next line; none at the end. What was read of an unfinished line is kept when the future is dropped.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let room = self.max_bytes.saturating_sub(self.partial.len()) as u64;
            if room == 0 {
                let mut rest = Vec::new();
                (&mut self.reader).take(self.max_bytes as u64).read_until(b'\n', &mut rest).await.ok()?;
                if rest.is_empty() || rest.ends_with(b"\n") {
                    return Some(std::mem::take(&mut self.partial));
                }
                continue;
            }
            let read = (&mut self.reader).take(room).read_until(b'\n', &mut self.partial).await.ok()?;
            let complete = self.partial.ends_with(b"\n");
            if complete || read == 0 {
                let line = std::mem::take(&mut self.partial);
                let line = line.strip_suffix(b"\n").map_or_else(|| line.clone(), <[u8]>::to_vec);
                return (complete || !line.is_empty()).then_some(line);
            }
        }
    }
}

/// Keeps what the agent said and did among the objects; a job does not fail by it.
async fn keep_transcript(context: &JobContext, talk: &Talk) -> Option<String> {
    if talk.transcript.is_empty() || context.stopper.stopped() == Some(Cut::FenceLost) {
        return None;
    }
    let key = names::transcript_key(&context.work.command_id);
    let text = context.settings.secrets.redact(&String::from_utf8_lossy(&talk.transcript));
    match context.files.put(&At::object(&key), Bytes::from(text), IfMatch::Any).await {
        Ok(_) => Some(key),
        Err(error) => {
            tracing::warn!(command.id = %context.work.command_id, %error, "the transcript could not be stored");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_is_cut_off_does_not_wait_for_a_full_home() {
        for cuts in [&[Cut::Shutdown][..], &[Cut::Stopped, Cut::Shutdown]] {
            let (stopper, begun) = (Stopper::default(), Instant::now());
            let cut_off = async {
                for cut in cuts {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    stopper.stop(cut.clone());
                }
            };
            let full = tokio::spawn(std::future::pending());
            let waited = async {
                empty(&stopper, full).await;
                begun.elapsed().as_secs()
            };
            assert_eq!(tokio::join!(waited, cut_off).0, 6, "{cuts:?}");
        }
    }

    #[test]
    fn a_question_goes_from_its_mark_to_the_end() {
        for (said, asked) in [
            ("QUESTION: Which one?", Some("Which one?")),
            (
                "There are two.\nQUESTION: Which one?\n- a\n- b\n",
                Some("There are two.\nWhich one?\n- a\n- b"),
            ),
            ("Two.\n\n**Question:** Which one?", Some("Two.\n\nWhich one?")),
            ("QUESTION:\nWhich one?", Some("Which one?")),
            ("QUESTION:", None),
            ("Your FAQ says:\n**Question:** Do you deliver?\n**Answer:** Yes.", None),
            ("I have answered the question: it is 7.", None),
            ("\u{e4}\u{f6}\u{fc}\u{df}\u{e4} done", None),
        ] {
            assert_eq!(question(said).as_deref(), asked, "{said:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_home_is_empty_before_anything_else_is_done_when_nobody_is_in_a_hurry() {
        let (stopper, begun) = (Stopper::default(), Instant::now());
        let slow = async {
            tokio::time::sleep(Duration::from_mins(2)).await;
            Err(io::Error::other("not all of it"))
        };
        empty(&stopper, tokio::spawn(slow)).await;
        assert_eq!(begun.elapsed().as_secs(), 120);
    }
}
