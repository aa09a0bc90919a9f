//! The endpoints that there are, each in a Python environment of its own (`scripts/setup endpoints`), and how they are run:
//! on loopback, with nothing of this machine's environment, in a folder of their own, until their standard input ends.

use std::path::{Path, PathBuf};

/// An endpoint, as it is installed and started.
pub(super) struct Program {
    pub(super) name: &'static str,
    /// Its Python environment below `.tools`.
    venv: &'static str,
    /// What is run once [`STAGE`] is set; the port is the last argument.
    main: &'static str,
    /// What it says on its standard output when it can be asked; nothing when it can be asked as soon as it listens.
    pub(super) ready: Option<&'static str>,
    /// What it is told, with `{port}` for its port.
    environment: &'static [(&'static str, &'static str)],
}

/// Moves the clock by the lines of the standard input, ends with it, and leaves nothing behind.
const STAGE: &str = "
import os, shutil, sys, tempfile, threading, time
port, folder = sys.argv[1], tempfile.mkdtemp(prefix='endpoint-')
os.environ.update(HOME=folder, TMPDIR=folder)
tempfile.tempdir = folder
moved, real = [0.0], time.time
time.time = lambda: real() + moved[0]
def listen():
    for line in sys.stdin:
        moved[0] += float(line)
        print('moved', flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)
threading.Thread(target=listen, daemon=True).start()
";

pub(super) const MINISTACK: Program = Program {
    name: "ministack",
    venv: "venv",
    main: "
sys.argv = ['ministack']
from ministack.app import main
main()
",
    ready: None,
    environment: &[
        ("BIND_HOST", "127.0.0.1"),
        ("MINISTACK_HOST", "127.0.0.1"),
        ("GATEWAY_PORT", "{port}"),
        ("LOG_LEVEL", "ERROR"),
    ],
};

/// Without the first two it listens on every address.
pub(super) const LOCALEMU: Program = Program {
    name: "localemu",
    venv: "localemu",
    main: "
sys.argv = ['localemu', 'start', '--host', '127.0.0.1', '--port', port]
from localemu.cli.main import main
main()
",
    ready: Some("Ready."),
    environment: &[
        ("GATEWAY_SERVER", "hypercorn"),
        ("GATEWAY_LISTEN", "127.0.0.1:{port}"),
        ("DISABLE_EVENTS", "1"),
        ("DNS_ADDRESS", "0"),
        ("SKIP_SSL_CERT_DOWNLOAD", "1"),
        ("SQS_ENDPOINT_STRATEGY", "path"),
        // Loaded before it says so: the first call would take longer than a call may.
        ("EAGER_SERVICE_LOADING", "1"),
        ("SERVICES", "sts,sqs,dynamodb,s3,sns,events,stepfunctions"),
        ("PYTHONUNBUFFERED", "1"),
    ],
};

pub(super) const MOTO: Program = Program {
    name: "moto",
    venv: "moto",
    main: "
from moto.server import main
main(['-H', '127.0.0.1', '-p', port])
",
    ready: None,
    environment: &[],
};

impl Program {
    /// The Python that has it.
    pub(super) fn python(&self) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let python = root.join(".tools").join(self.venv).join("bin/python");
        assert!(python.exists(), "{} is not there: run `make test-setup`", python.display());
        python
    }

    pub(super) fn script(&self) -> String {
        format!("{STAGE}{}", self.main)
    }

    pub(super) fn environment(&self, port: u16) -> impl Iterator<Item = (&'static str, String)> {
        self.environment.iter().map(move |(name, value)| (*name, value.replace("{port}", &port.to_string())))
    }
}
