//! The guide: pages without code of their own, whose examples are run as tests.
//!
//! - [`embedding`]: the server inside a program, sessions or messages, and complete programs
//! - [`how_it_works`]: a course in eight programs, from a naive server to this one; then the protocol, for those who change it
//! - [`decisions`]: the design decisions: what was tried and rejected, and the measurements behind them
//! - [`recipes`]: complete commands for common devices and services; [`coming_from`]: for users of other tools
//! - [`promises`]: what the server guarantees, each with its test; [`performance`]: how fast it is
//! - [`platforms`]: where it runs, what differs there, offline and embedded use
//! - [`panics`]: what happens when something panics
//! - [`kamaelia`]: for users of Kamaelia; [`changes`]: what each version changed

/// A page whose links lead to files in the repository. Of two definitions of a link, Markdown takes the first one, so the
/// definitions in front make the same links lead to pages and items here.
macro_rules! page {
    ($name:ident, $file:literal) => {
        #[doc = include_str!("guide/stages/links.md")]
        #[doc = include_str!($file)]
        pub mod $name {}
    };
}

/// A stage of the course: its page, followed by its program. Only the first program is unfolded.
macro_rules! stage {
    ($name:ident $($open:literal)?) => {
        #[doc = include_str!("guide/stages/links.md")]
        #[doc = include_str!(concat!("guide/stages/", stringify!($name), ".md"))]
        ///
        /// # The program
        ///
        #[doc = concat!("<details", $($open,)? "><summary>All of it</summary>")]
        ///
        /// ```rust,no_run
        #[doc = include_str!(concat!("guide/stages/", stringify!($name), ".rs"))]
        /// ```
        ///
        /// </details>
        pub mod $name {}
    };
}

page!(embedding, "guide/embedding.md");

#[doc = include_str!("guide/stages/links.md")]
#[doc = include_str!("guide/how_it_works.md")]
pub mod how_it_works {
    stage!(s0_naive " open");
    stage!(s1_refused);
    stage!(s2_whole);
    stage!(s3_one_end);
    stage!(s4_arrives);
    stage!(s5_bounded);
    stage!(s6_back_at_once);
    stage!(s7_stops);
    page!(beyond, "guide/stages/beyond.md");
    page!(protocol, "guide/protocol.md");
}

page!(decisions, "guide/decisions.md");

pub mod platforms {
    #![doc = include_str!("guide/platforms.md")]
}

page!(panics, "guide/panics.md");

pub mod recipes {
    #![doc = include_str!("guide/recipes.md")]
}

pub mod coming_from {
    #![doc = include_str!("guide/coming_from.md")]
}

pub mod promises {
    #![doc = include_str!("guide/promises.md")]
}

page!(performance, "guide/performance.md");

pub mod kamaelia {
    #![doc = include_str!("guide/kamaelia.md")]
}

pub mod changes {
    #![doc = include_str!("guide/changes.md")]
}
