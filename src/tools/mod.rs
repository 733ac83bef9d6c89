//! Floor 2: tools that know nothing about agents. What the clippy configuration bans elsewhere is wrapped here, once.

pub mod clock;
pub mod crash;
pub mod exec;
pub mod fifo;
pub mod file;
pub mod journal;
pub mod lines;
pub mod lock;
pub mod port;
pub mod process;
pub mod program;
pub mod runtime;
pub mod signals;
pub mod spool;
pub mod terminal;
pub mod thread;
