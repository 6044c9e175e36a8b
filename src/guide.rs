//! The guide: pages without code of their own, whose examples are run as tests.
//!
//! - [`embedding`]: the server inside a program, with three complete ones
//! - [`how_it_works`]: a course, from a naive server to this one; then the protocol, for those who change it
//! - [`recipes`]: complete commands for common devices and services; [`coming_from`]: for users of other tools
//! - [`promises`]: what the server guarantees, each with its test; [`performance`]: how fast it is
//! - [`platforms`]: where it runs, what differs there, offline and embedded use
//! - [`panics`]: what happens when something panics
//! - [`kamaelia`]: where the parts of Kamaelia's component are; [`changes`]: what each version changed

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

pub mod recipes {
    #![doc = include_str!("guide/recipes.md")]
}

pub mod coming_from {
    #![doc = include_str!("guide/coming_from.md")]
}

pub mod promises {
    #![doc = include_str!("guide/promises.md")]
}

pub mod performance {
    #![doc = include_str!("guide/performance.md")]
}

pub mod kamaelia {
    #![doc = include_str!("guide/kamaelia.md")]
}

pub mod changes {
    #![doc = include_str!("guide/changes.md")]
}
