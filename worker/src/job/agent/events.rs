//! How the agent is called and what its event lines say.

use std::path::{Path, PathBuf};

use common::domain::budget::Usage;
use common::messages::Work;
use serde::Deserialize;

use crate::config::{Programs, is_program};
use crate::meter::Message;

/// The program that is called by its well-known name gets the arguments that make it speak.
const CLAUDE: &str = "claude";
/// Whoever says this says all the rest as well.
const PRINTS: [&str; 2] = ["-p", "--print"];
/// It may read and edit files, and copy, move and remove them: of the commands of a shell, `acceptEdits` allows those, in the
/// folder and the one that is added, and refuses the rest. Settings, commands and tool servers of the repository are not loaded.
const CLAUDE_ARGUMENTS: [&str; 12] = [
    "-p",
    "--output-format",
    "stream-json",
    "--verbose",
    "--permission-mode",
    "acceptEdits",
    "--tools",
    "Read,Edit,Write,Glob,Grep,Bash",
    "--strict-mcp-config",
    "--setting-sources",
    "user",
    "--disable-slash-commands",
];

/// The CLI writes what it has to say of its model, such as that it gave no answer, as words of one of this name.
const NO_MODEL: &str = "<synthetic>";
/// The built-in agent, which lies beside the worker.
const DEMO: &str = "demo-agent";

/// There is no such agent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the agent {0:?} was not found (a bare name is looked up on the PATH); set AGENT_COMMAND to an agent that is \
     installed, or to `demo-agent` for the built-in one"
)]
pub struct NoAgent(String);

/// How the agent is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCommand(Vec<String>);

impl AgentCommand {
    /// Splits a command line into its words. `claude` (or a path to it) gets the arguments it needs behind those it has,
    /// unless it is told to print by itself; any other command is started as it is, reads the prompt on standard input and writes the same events.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = shell_words::split(text).map_err(|error| format!("AGENT_COMMAND {text:?}: {error}"))?;
        if words.is_empty() {
            return Err("AGENT_COMMAND is empty; unset it for the Claude Code CLI".to_owned());
        }
        Ok(Self(words))
    }

    /// The same with the program's absolute path, so that nothing of a repository is started in its stead.
    pub fn resolve(&self, programs: &Programs) -> Result<Self, NoAgent> {
        let missing = || NoAgent(self.0.first().cloned().unwrap_or_default());
        let (program, arguments) = self.0.split_first().ok_or_else(missing)?;
        let found = match program.as_str() {
            path if path.contains('/') => existing(std::path::absolute(path).ok()),
            DEMO => programs.find(DEMO).or_else(|| existing(beside_us(DEMO))),
            name => programs.find(name),
        };
        Ok(Self([vec![found.ok_or_else(missing)?], arguments.to_vec()].concat()))
    }

    /// The program, once it is resolved.
    pub fn program(&self) -> Option<&Path> {
        self.0.first().map(Path::new)
    }

    /// Whether it is the Claude Code CLI, with the arguments that we give it.
    pub fn is_claude(&self) -> bool {
        let Some((program, own)) = self.0.split_first() else { return false };
        program.rsplit('/').next() == Some(CLAUDE) && !own.iter().any(|word| PRINTS.contains(&word.as_str()))
    }

    /// The argument vector for this work; it goes on with a session, if there is one.
    pub fn argv(&self, work: &Work, attachments: &Path, session: Option<&str>) -> Vec<String> {
        let mut argv = self.0.clone();
        if self.is_claude() {
            argv.extend(CLAUDE_ARGUMENTS.map(String::from));
            if !work.attachments.is_empty() {
                argv.extend(["--add-dir".to_owned(), attachments.display().to_string()]);
            }
            argv.extend(session.into_iter().flat_map(|id| ["--resume".to_owned(), id.to_owned()]));
        }
        argv
    }
}

fn existing(path: Option<PathBuf>) -> Option<String> {
    path.filter(|path| is_program(path))?.to_str().map(str::to_owned)
}

fn beside_us(name: &str) -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.with_file_name(name))
}

/// One line of the agent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// It began; its session.
    Session(String),
    /// It is done.
    Result(Finish),
    /// The model said something.
    Message(Message),
    /// Anything else shows that it lives.
    Other,
}

/// The agent's last event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finish {
    /// Whether it says that it failed.
    pub(super) is_error: bool,
    /// What it did, in its words.
    pub(super) summary: String,
    /// What it used.
    pub(super) usage: Usage,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    subtype: Option<String>,
    session_id: Option<String>,
    #[serde(default)]
    message: Option<serde_json::Value>,
    #[serde(default)]
    is_error: bool,
    result: Option<String>,
    #[serde(default)]
    num_turns: u32,
    #[serde(default)]
    total_cost_usd: f64,
    #[serde(default)]
    duration_ms: u64,
}

impl Event {
    /// Reads a line; none when it is no event.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(line).ok()?;
        Some(match (line.kind.as_str(), line.subtype.as_deref()) {
            ("system", Some("init")) => line.session_id.map_or(Self::Other, Self::Session),
            ("result", subtype) => Self::Result(Finish {
                is_error: line.is_error || subtype.is_some_and(|kind| kind != "success"),
                summary: line.result.unwrap_or_else(|| subtype.unwrap_or("no words").to_owned()),
                usage: Usage {
                    cost_usd: line.total_cost_usd,
                    turns: line.num_turns,
                    duration_ms: line.duration_ms,
                },
            }),
            ("assistant", _) => {
                let said = line.message.filter(|message| message["model"] != NO_MODEL);
                let message = said.and_then(|message| serde_json::from_value(message).ok());
                message.map_or(Self::Other, Self::Message)
            }
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_into_words() {
        assert_eq!(
            AgentCommand::parse("'/a b/agent' --delay-ms 5").unwrap().0,
            ["/a b/agent", "--delay-ms", "5"]
        );
        assert!(AgentCommand::parse("").is_err());
        assert!(AgentCommand::parse("'open").is_err());
    }

    #[test]
    fn the_cli_gets_its_arguments_behind_those_of_the_operator() {
        let work = crate::job::message::tests::work("hi");
        let argv = |text: &str| AgentCommand::parse(text).unwrap().argv(&work, Path::new("/x"), Some("s1"));
        for (text, own) in [("claude", 1), ("/a/claude --model m", 3)] {
            let argv = argv(text);
            assert_eq!(argv[own..own + CLAUDE_ARGUMENTS.len()], CLAUDE_ARGUMENTS, "{text}");
            assert_eq!(argv[own + CLAUDE_ARGUMENTS.len()..], ["--resume", "s1"], "{text}");
        }
        for text in ["claude -p", "claude --print --model m", "/a/not-claude", "demo-agent"] {
            assert_eq!(argv(text), AgentCommand::parse(text).unwrap().0, "{text}");
        }
    }

    #[test]
    fn an_agent_is_found_before_any_repository_is_entered() {
        let programs = Programs::of_path("/usr/bin:/bin");
        let resolved = |text: &str| AgentCommand::parse(text).unwrap().resolve(&programs);
        assert!(resolved("env -i x").unwrap().0[0].ends_with("bin/env"));
        assert_eq!(resolved("env -i x").unwrap().0[1..], ["-i", "x"]);
        for missing in ["no-such-agent", "./env", "/no/such/agent", "/"] {
            let told = resolved(missing).unwrap_err().to_string();
            assert!(told.contains("AGENT_COMMAND") && told.contains("demo-agent"), "{told}");
        }
    }

    #[test]
    fn events_are_read_and_anything_else_is_not() {
        let session = br#"{"type":"system","subtype":"init","session_id":"s1"}"#;
        assert_eq!(Event::parse(session), Some(Event::Session("s1".into())));
        assert_eq!(Event::parse(br#"{"type":"assistant"}"#), Some(Event::Other));
        assert_eq!(Event::parse(b"Hello"), None);
        let done = br#"{"type":"result","subtype":"success","is_error":false,"result":"ok","num_turns":2,"total_cost_usd":0.5,"duration_ms":7}"#;
        let usage = Usage { cost_usd: 0.5, turns: 2, duration_ms: 7 };
        let finish = Finish { is_error: false, summary: "ok".into(), usage };
        assert_eq!(Event::parse(done), Some(Event::Result(finish)));
    }

    #[test]
    fn what_the_cli_says_in_place_of_a_model_is_no_turn() {
        let event = |model: &str| {
            let message = serde_json::json!({"id": "m-1", "model": model, "usage": {"output_tokens": 0}});
            Event::parse(serde_json::json!({"type": "assistant", "message": message}).to_string().as_bytes())
        };
        assert_eq!(event("<synthetic>"), Some(Event::Other));
        assert!(matches!(event("claude-haiku-4-5"), Some(Event::Message(_))));
    }

    #[test]
    fn a_result_that_is_not_a_success_is_an_error() {
        let event = Event::parse(br#"{"type":"result","subtype":"error_max_turns"}"#);
        assert!(matches!(event, Some(Event::Result(Finish { is_error: true, .. }))));
    }
}
