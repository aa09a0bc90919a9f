//! A name service of its own for a test: it answers what it is told to, and counts what it is asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

/// Behind the header (RFC 1035, section 4.1).
const QUESTION_AT: usize = 12;

/// What is known, and what was asked.
#[derive(Default)]
struct Known {
    texts: BTreeMap<String, String>,
    is_well: bool,
    asked: BTreeMap<String, usize>,
}

/// A name server over UDP, for as long as its runtime.
#[derive(Clone)]
pub(crate) struct Names {
    pub(crate) address: SocketAddr,
    known: Arc<Mutex<Known>>,
}

impl Names {
    /// One that knows these TXT records and no others.
    pub(crate) async fn with(records: &[(&str, &str)]) -> Self {
        let texts = records.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let known = Arc::new(Mutex::new(Known { texts, is_well: true, asked: BTreeMap::new() }));
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let names = Self { address: socket.local_addr().unwrap(), known };
        let answering = names.clone();
        tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let answer = answering.answer(&question[..length]);
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        names
    }

    /// From now on it says of all names that it cannot tell.
    pub(crate) fn fall_ill(&self) {
        self.known.lock().unwrap().is_well = false;
    }

    /// How often it was asked for a name.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.known.lock().unwrap().asked.get(name).copied().unwrap_or(0)
    }

    fn answer(&self, asked: &[u8]) -> Vec<u8> {
        let (name, end) = name(asked);
        let mut known = self.known.lock().unwrap();
        *known.asked.entry(name.clone()).or_default() += 1;
        let text = known.texts.get(&name).filter(|_| known.is_well);
        let code = match (&text, known.is_well) {
            (Some(_), _) => 0,
            (None, true) => 3,
            (None, false) => 2,
        };
        let mut answer = asked[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(text.is_some()), 0, 0, 0, 0]);
        answer.extend(&asked[QUESTION_AT..end]);
        if let Some(text) = text {
            let length = u8::try_from(text.len()).unwrap();
            // The name of the question; TXT, IN, for an hour.
            answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0x0e, 0x10, 0, length + 1, length]);
            answer.extend(text.as_bytes());
        }
        answer
    }
}

/// The name of the first question, and where the question ends.
fn name(asked: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), QUESTION_AT);
    while asked[at] > 0 {
        let end = at + 1 + usize::from(asked[at]);
        labels.push(String::from_utf8_lossy(&asked[at + 1..end]).to_lowercase());
        at = end;
    }
    (labels.join("."), at + 5)
}
