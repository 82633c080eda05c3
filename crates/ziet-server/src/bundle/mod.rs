//! Bundles: the files of a project in one archive, known by its content. What goes in, how it is written, and how it is
//! taken apart again where nothing about it can be trusted.
//!
//! A bundle is a tar archive of regular files, in the order of their names, in one zstd frame. It holds no times, no
//! owners, and of the modes only whether a file can be executed: the same content is the same bundle on every machine.

mod digest;
mod error;
mod left_out;
mod name;
mod pack;
mod unpack;

pub use digest::Digest;
pub use error::{BundleError, Link, Size};
pub use left_out::{LeftOut, Reason};
pub use pack::{Packed, PackedFile, pack, survey};
pub use unpack::unpack;
