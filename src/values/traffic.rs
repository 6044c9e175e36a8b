//! How many bytes of a session have moved.

/// How many bytes of a session have moved so far, from [`Client::traffic`](crate::Client::traffic).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes received from the client, including those that the application has yet to take.
    pub received: u64,
    /// Bytes sent to the client: the kernel has accepted them.
    pub sent: u64,
    /// Bytes accepted by the inbox and not sent yet; 0 once the session has ended.
    pub queued: u64,
}
