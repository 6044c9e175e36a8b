//! The guide: pages without code of their own, whose examples are run as tests.
//!
//! - [`embedding`]: the server inside a program, with three complete ones
//! - [`how_it_works`]: a course, from a naive server to this one; then the protocol, for those who change it
//! - [`platforms`]: where it runs, what differs there, offline and embedded use
//! - [`panics`]: what happens when something panics

pub mod embedding {
    #![doc = include_str!("guide/embedding.md")]
}

pub mod how_it_works {
    #![doc = include_str!("guide/naive.md")]
    #![doc = "```"]
    #![doc = include_str!("guide/naive.rs")]
    #![doc = "```"]
    #![doc = include_str!("guide/failures.md")]
    #![doc = include_str!("guide/protocol.md")]
}

pub mod platforms {
    #![doc = include_str!("guide/platforms.md")]
}

pub mod panics {
    #![doc = include_str!("guide/panics.md")]
}
