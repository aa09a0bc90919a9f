//! What a process asked of the kernel, read from the log of `strace -f -y`: calls with the moments at which they began
//! and ended, counted in lines.

use std::collections::HashMap;

/// One system call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Its name.
    pub(crate) name: String,
    /// Its arguments as strace writes them.
    pub(crate) arguments: String,
    /// When it began.
    pub(crate) began: usize,
    /// When it had succeeded; none when it had not.
    pub(crate) succeeded: Option<usize>,
}

impl Call {
    /// Whether it is about an open file of this path.
    pub(crate) fn is_on(&self, path: &str) -> bool {
        self.arguments.contains(&format!("<{path}>"))
    }

    /// Whether it names this path.
    pub(crate) fn names(&self, path: &str) -> bool {
        self.arguments.contains(&format!("\"{path}\""))
    }

    /// Whether it is a sync that succeeded.
    pub(crate) fn is_sync(&self) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync") && self.succeeded.is_some()
    }

    /// The first path it names.
    pub(crate) fn first_path(&self) -> &str {
        self.arguments.split('"').nth(1).unwrap_or("")
    }
}

/// Reads a log. A call that another thread interrupts is written as two lines, `<unfinished ...>` and `resumed>`.
pub(crate) fn read(log: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: HashMap<&str, usize> = HashMap::new();
    for (moment, line) in log.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix("<... ") {
            if let (Some(index), Some((_, tail))) = (open.remove(thread), rest.split_once("resumed>")) {
                calls[index].arguments.push_str(tail);
                calls[index].succeeded = success(tail).then_some(moment);
            }
        } else if let Some((name, tail)) = rest.split_once('(') {
            let unfinished = tail.strip_suffix("<unfinished ...>");
            if unfinished.is_some() {
                open.insert(thread, calls.len());
            }
            calls.push(Call {
                name: name.to_owned(),
                arguments: unfinished.unwrap_or(tail).to_owned(),
                began: moment,
                succeeded: (unfinished.is_none() && success(tail)).then_some(moment),
            });
        }
    }
    calls
}

/// `... = 0` and `... = 4096` are good answers, `... = -1 EEXIST (...)` and `... = ?` are not.
fn success(tail: &str) -> bool {
    tail.rsplit_once(" = ").is_some_and(|(_, answer)| answer.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether a path was synced between two moments.
pub(crate) fn synced_between(calls: &[Call], path: &str, after: usize, before: usize) -> bool {
    calls.iter().any(|call| {
        call.is_sync()
            && call.is_on(path)
            && call.began > after
            && call.succeeded.is_some_and(|ended| ended < before)
    })
}
