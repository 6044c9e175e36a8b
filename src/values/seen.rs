//! What a peek at the connection has shown.

/// What comes next from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    Nothing,
    /// Bytes. What is behind them cannot be seen; it may be the FIN.
    Data,
    Fin,
    /// The system cannot tell.
    #[cfg_attr(not(windows), allow(dead_code))]
    Unknown,
    /// The connection is dead. The kernel reports that only once, so the caller must act on it.
    Broken,
}
