//! What can be called on a cloud.

/// The six doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// Messages.
    Queues,
    /// The ownership table.
    Claims,
    /// Rows.
    Store,
    /// Objects and sites.
    Files,
    /// Outgoing mail.
    Mailer,
    /// Task tokens.
    Callback,
}

/// Declares the operations of all doors.
macro_rules! operations {
    ($($door:ident { $($operation:ident = $name:literal),+ $(,)? })+) => {
        /// Every operation of every door.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation {
            $($(#[doc = concat!("`", $name, "`")] $operation,)+)+
        }

        impl Operation {
            /// Which door it is an operation of.
            pub fn door(self) -> Door {
                match self { $($(Self::$operation)|+ => Door::$door,)+ }
            }

            /// Its name, for messages.
            pub fn name(self) -> &'static str {
                match self { $($(Self::$operation => $name,)+)+ }
            }
        }
    };
}

operations! {
    Queues {
        Send = "queues.send", Receive = "queues.receive", Extend = "queues.extend", DeleteMessage = "queues.delete",
        RemoveQueue = "queues.remove_queue", Depth = "queues.depth",
    }
    Claims {
        GetClaim = "claims.get", Take = "claims.take", Renew = "claims.renew", Release = "claims.release",
        FreeLapsed = "claims.free_lapsed", HeldBy = "claims.held_by", Held = "claims.held",
    }
    Store {
        GetRow = "store.get", PutRow = "store.put", DeleteRow = "store.delete", QueryRows = "store.query",
        ScanRows = "store.scan",
    }
    Files {
        PutFile = "files.put", GetFile = "files.get", ReadRange = "files.read_range", FileEtag = "files.etag",
        CopyFile = "files.copy", DeleteFile = "files.delete", ListFiles = "files.list",
    }
    Mailer { SendMail = "mailer.send", AskMailer = "mailer.ready" }
    Callback {
        Success = "callback.success", Failure = "callback.failure", Heartbeat = "callback.heartbeat",
        HandOver = "callback.hand_over",
    }
}
