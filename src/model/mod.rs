//! Floor 0: the words of ai_orch as plain data.
//!
//! Nothing here touches a disk, a clock or a process, and nothing here decides: that is `rules`.
//! What is written to journals, boards and `--json` is declared here, so that two floors can never
//! mean different things by one word.

pub mod a2a;
pub mod agent;
pub mod delegation;
pub mod delivery;
pub mod entry;
pub mod event;
pub mod failure;
pub mod feed;
pub mod glob;
pub mod guard;
pub mod ids;
pub mod mail;
pub mod merge;
pub mod place;
pub mod places;
pub mod profile;
pub mod project_file;
pub mod report;
pub mod request;
pub mod reservation;
pub mod text;
pub mod together;
mod tolerant;
pub mod work;
