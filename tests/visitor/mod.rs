//! Code shared by the tests. The test programs for the promises and for the command both include this folder, and the
//! second one also includes `processes` and `network`.

#![allow(dead_code, unused_imports)] // each program uses only a part

mod bytes;
mod clients;
mod servers;
mod visits;
mod waiting;

pub use bytes::*;
pub use clients::*;
pub use servers::*;
pub use visits::*;
pub use waiting::*;
