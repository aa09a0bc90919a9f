//! A small SMTP server on loopback that behaves as a test says: the state machine is mailin's, the wire and the mood are
//! ours.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use mailin::response::{
    AUTHENTICATION_REQUIRED, INTERNAL_ERROR, NO_MAILBOX, OK, OUT_OF_SPACE, TRANSACTION_FAILED,
};
use mailin::{Action, Handler, Response, SessionBuilder};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How it treats one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// 452 to the recipient.
    FullForNow,
    /// 550 to the recipient.
    NoSuchMailbox,
    /// 451 to the mail.
    RefusesForNow,
    /// 554 to the mail.
    Refuses,
    /// 550 to whom the mail is from.
    UnknownToIt,
    /// What Postfix says to the recipient when it does not let us write as whom we do.
    WrongSender,
    /// 530 to the recipient.
    WantsLogin,
    /// A rule of its own against the mail, in its words.
    KeptOut,
    /// Takes the mail, and the line goes dead before it can say so.
    DiesAfterData,
    /// The line goes dead when the mail should begin.
    DiesBeforeData,
}

#[derive(Default)]
struct State {
    /// For the next connections; kind afterwards.
    moods: VecDeque<Mood>,
    taken: Vec<String>,
    connections: usize,
}

#[derive(Clone)]
pub(crate) struct SmtpServer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl SmtpServer {
    pub(crate) async fn start(moods: &[Mood]) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), moods)
    }

    pub(crate) fn on(listener: TcpListener, moods: &[Mood]) -> Self {
        let state = State { moods: moods.iter().copied().collect(), ..State::default() };
        let server = Self { address: listener.local_addr().unwrap(), state: Arc::new(Mutex::new(state)) };
        let state = server.state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mood = {
                    let mut state = state.lock().unwrap();
                    state.connections += 1;
                    state.moods.pop_front()
                };
                tokio::spawn(talk(stream, mood, state.clone()));
            }
        });
        server
    }

    /// For `SMTP_URL`.
    pub(crate) fn url(&self) -> String {
        format!("smtp://{}?tls=none", self.address)
    }

    /// What it took, in order.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.state.lock().unwrap().taken.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

struct Mailbox {
    mood: Option<Mood>,
    state: Arc<Mutex<State>>,
    mail: Vec<u8>,
}

impl Handler for Mailbox {
    fn mail(&mut self, _ip: IpAddr, _domain: &str, _from: &str) -> Response {
        if self.mood == Some(Mood::UnknownToIt) { NO_MAILBOX } else { OK }
    }

    fn rcpt(&mut self, _to: &str) -> Response {
        match self.mood {
            Some(Mood::FullForNow) => OUT_OF_SPACE,
            Some(Mood::NoSuchMailbox) => NO_MAILBOX,
            Some(Mood::WantsLogin) => AUTHENTICATION_REQUIRED,
            Some(Mood::WrongSender) => {
                Response::custom(553, "5.7.1 <hermes@localhost>: Sender address rejected".into())
            }
            _ => OK,
        }
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        self.mail.extend_from_slice(line);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        match self.mood {
            Some(Mood::RefusesForNow) => return INTERNAL_ERROR,
            Some(Mood::Refuses) => return TRANSACTION_FAILED,
            Some(Mood::KeptOut) => return Response::custom(554, "5.7.0 kept out".into()),
            _ => {}
        }
        let mail = String::from_utf8_lossy(&std::mem::take(&mut self.mail)).into_owned();
        self.state.lock().unwrap().taken.push(mail);
        OK
    }
}

async fn talk(stream: TcpStream, mood: Option<Mood>, state: Arc<Mutex<State>>) {
    let remote = stream.peer_addr().unwrap().ip();
    let mailbox = Mailbox { mood, state: state.clone(), mail: Vec::new() };
    let mut session = SessionBuilder::new("mail.example.org").build(remote, mailbox);
    let mut stream = BufReader::new(stream);
    let mut said = Vec::new();
    session.greeting().write_to(&mut said).unwrap();
    let mut line = Vec::new();
    loop {
        if stream.get_mut().write_all(&said).await.is_err() {
            return;
        }
        said.clear();
        line.clear();
        if !matches!(stream.read_until(b'\n', &mut line).await, Ok(1..)) {
            return;
        }
        let before = state.lock().unwrap().taken.len();
        let response = session.process(&line);
        let took = state.lock().unwrap().taken.len() > before;
        if (took && mood == Some(Mood::DiesAfterData))
            || (response.code == 354 && mood == Some(Mood::DiesBeforeData))
        {
            return;
        }
        match response.action {
            Action::NoReply => {}
            Action::Close => return,
            _ => response.write_to(&mut said).unwrap(),
        }
    }
}
