//! What a look at the connection has shown, without reading from it.

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
    /// The connection is dead. The kernel reports that once, so whoever has seen it must act on it.
    Broken,
}
